-- Lots: each grant keeps what is left of it, and every entry that moves the balance draws on lots.
-- As in guards.sql, constraints and triggers each hold by themselves, and every trigger is ENABLE
-- ALWAYS. Nothing here is written by anybody: an entry's own triggers make lots and draws.

-- Keys ----------------------------------------------------------------------------------------

ALTER TABLE credits_entry
    ADD CONSTRAINT credits_entry_names_its_original
        FOREIGN KEY (account_id, original_seq) REFERENCES credits_entry (account_id, seq);
ALTER TABLE credits_lot
    ADD CONSTRAINT credits_lot_names_its_grant
        FOREIGN KEY (account_id, seq) REFERENCES credits_entry (account_id, seq);
ALTER TABLE credits_draw
    ADD CONSTRAINT credits_draw_names_its_entry
        FOREIGN KEY (account_id, seq) REFERENCES credits_entry (account_id, seq),
    ADD CONSTRAINT credits_draw_names_its_lot
        FOREIGN KEY (account_id, lot_seq) REFERENCES credits_lot (account_id, seq);
ALTER TABLE credits_statement
    ADD CONSTRAINT credits_statement_follows_previous
        FOREIGN KEY (previous_number, previous_hash) REFERENCES credits_statement (number, hash);

-- What was granted and charged before there were lots: burnt in the order it was granted. A charge
-- took from a grant what their stretches on the line of all credits have in common.
INSERT INTO credits_lot (account_id, seq, amount, priority, created_at)
SELECT account_id, seq, balance_delta, priority, created_at
  FROM credits_entry WHERE kind = 'grant';

INSERT INTO credits_draw (account_id, seq, lot_seq, number, amount, remaining_after)
SELECT account_id, seq, lot_seq,
       row_number() OVER per_lot,
       amount,
       sum(amount) OVER per_lot
  FROM (
    SELECT account_id, seq, seq AS lot_seq, balance_delta AS amount
      FROM credits_entry WHERE kind = 'grant'
    UNION ALL
    SELECT c.account_id, c.seq, g.seq, -(least(c.until, g.until) - greatest(c.since, g.since))
      FROM (SELECT account_id, seq, sum(-balance_delta) OVER line AS until,
                   sum(-balance_delta) OVER line + balance_delta AS since
              FROM credits_entry WHERE kind = 'commit' AND balance_delta <> 0
            WINDOW line AS (PARTITION BY account_id ORDER BY seq)) c
      JOIN (SELECT account_id, seq, sum(balance_delta) OVER line AS until,
                   sum(balance_delta) OVER line - balance_delta AS since
              FROM credits_entry WHERE kind = 'grant'
            WINDOW line AS (PARTITION BY account_id ORDER BY seq)) g
        ON g.account_id = c.account_id AND g.since < c.until AND c.since < g.until
  ) moved
WINDOW per_lot AS (PARTITION BY account_id, lot_seq ORDER BY seq);

UPDATE credits_lot l
   SET remaining = d.remaining_after, draws = d.number
  FROM (SELECT DISTINCT ON (account_id, lot_seq) account_id, lot_seq, number, remaining_after
          FROM credits_draw ORDER BY account_id, lot_seq, number DESC) d
 WHERE d.account_id = l.account_id AND d.lot_seq = l.seq;

-- The foreign keys of what was just written are checked now: tables with checks to come cannot be
-- altered.
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;

-- Account -------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION credits_account_starts_empty() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.balance, NEW.reserved, NEW.issued, NEW.charged, NEW.lapsed, NEW.last_seq)
        IS DISTINCT FROM
        (0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint) THEN
        PERFORM credits_refuse(TG_NAME, 'an account starts empty; grant credits to it');
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION credits_account_moves_with_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.organization_id, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.organization_id, OLD.created_at) THEN
        PERFORM credits_refuse('credits_account_identity_fixed', 'an account keeps its identity');
    END IF;
    IF NEW.last_seq IS DISTINCT FROM OLD.last_seq + 1 THEN
        PERFORM credits_refuse('credits_account_next_seq', 'an account moves one entry at a time');
    END IF;
    PERFORM 1 FROM credits_entry e
     WHERE e.account_id = NEW.id AND e.seq = NEW.last_seq
       AND e.balance_after = NEW.balance AND e.reserved_after = NEW.reserved
       AND e.issued_delta = NEW.issued - OLD.issued
       AND e.charged_delta = NEW.charged - OLD.charged
       AND e.lapsed_delta = NEW.lapsed - OLD.lapsed;
    IF NOT FOUND THEN
        PERFORM credits_refuse(TG_NAME, 'an account stands where its last entry ends');
    END IF;
    RETURN NEW;
END $$;

-- Entry ---------------------------------------------------------------------------------------

-- May this entry undo that one, or let it lapse? Called under the account's lock.
CREATE FUNCTION credits_entry_check_original(p_entry credits_entry, p_original credits_entry)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_undone numeric;
BEGIN
    IF p_original.id IS NULL OR (p_entry.kind, p_original.kind) NOT IN (
        ('lapse', 'grant'), ('reversal', 'grant'), ('reversal', 'commit')) THEN
        PERFORM credits_refuse(
            'credits_entry_original_fits', 'the account has no such entry, or not of that kind');
    ELSIF p_entry.kind = 'lapse' THEN
        IF p_original.lapses_at IS NULL OR p_original.lapses_at > p_entry.created_at THEN
            PERFORM credits_refuse('credits_entry_lapse_when_due', 'the grant has not lapsed');
        END IF;
        RETURN;
    ELSIF sign(p_entry.balance_delta) IS DISTINCT FROM -sign(p_original.balance_delta) THEN
        PERFORM credits_refuse('credits_entry_reversal_undoes', 'a reversal moves the other way');
    END IF;
    SELECT coalesce(sum(balance_delta), 0) INTO v_undone FROM credits_entry
     WHERE account_id = p_entry.account_id AND original_seq = p_original.seq AND kind = 'reversal';
    IF abs(v_undone + p_entry.balance_delta) > abs(p_original.balance_delta) THEN
        PERFORM credits_refuse(
            'credits_reversal_within_original', 'not more than the original can be undone');
    END IF;
END $$;

CREATE OR REPLACE FUNCTION credits_entry_fill() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_account credits_account;
    v_hold credits_reservation;
    v_original credits_entry;
    v_book text;
BEGIN
    IF num_nonnulls(
        NEW.seq, NEW.hold, NEW.balance_before, NEW.balance_after, NEW.reserved_before,
        NEW.reserved_delta, NEW.reserved_after, NEW.issued_delta, NEW.charged_delta,
        NEW.lapsed_delta) > 0 THEN
        PERFORM credits_refuse(TG_NAME, 'the ledger itself fills in these columns');
    END IF;
    SELECT * INTO v_account FROM credits_account WHERE id = NEW.account_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_entry_account_exists', 'there is no such account');
    END IF;
    NEW.created_at := credits_instant(NEW.created_at);
    IF NEW.reservation_id IS NOT NULL THEN
        SELECT * INTO v_hold FROM credits_reservation WHERE id = NEW.reservation_id;
        PERFORM credits_entry_check_hold(NEW, v_hold);
        NEW.hold := v_hold.amount;
    END IF;
    IF NEW.original_seq IS NOT NULL THEN
        SELECT * INTO v_original FROM credits_entry
         WHERE account_id = NEW.account_id AND seq = NEW.original_seq;
        PERFORM credits_entry_check_original(NEW, v_original);
    END IF;
    IF NEW.kind = 'grant' THEN
        NEW.priority := coalesce(NEW.priority, 100);
    ELSIF NEW.kind = 'commit' AND EXISTS (
        SELECT FROM credits_freeze WHERE account_id = NEW.account_id AND lifted_at IS NULL) THEN
        PERFORM credits_refuse('credits_account_frozen', 'nothing is charged on this account');
    END IF;
    NEW.seq := CASE NEW.kind WHEN 'open' THEN 0 ELSE v_account.last_seq + 1 END;
    NEW.balance_before := v_account.balance;
    NEW.balance_after := v_account.balance + NEW.balance_delta;
    NEW.reserved_delta := CASE
        WHEN NEW.reservation_id IS NULL THEN 0
        WHEN NEW.kind = 'reserve' THEN NEW.hold
        ELSE -NEW.hold END;
    NEW.reserved_before := v_account.reserved;
    NEW.reserved_after := v_account.reserved + NEW.reserved_delta;
    -- The book on the other side of the balance.
    v_book := CASE
        WHEN 'grant' IN (NEW.kind, v_original.kind) AND NEW.kind <> 'lapse' THEN 'issued'
        WHEN 'commit' IN (NEW.kind, v_original.kind) THEN 'charged'
        WHEN NEW.kind = 'lapse' THEN 'lapsed'
        WHEN NEW.balance_delta > 0 THEN 'issued'
        ELSE 'charged' END;
    NEW.issued_delta := CASE v_book WHEN 'issued' THEN NEW.balance_delta ELSE 0 END;
    NEW.charged_delta := CASE v_book WHEN 'charged' THEN -NEW.balance_delta ELSE 0 END;
    NEW.lapsed_delta := CASE v_book WHEN 'lapsed' THEN -NEW.balance_delta ELSE 0 END;
    RETURN NEW;
END $$;

-- Which lots an entry draws on, in order, and how much each can move. A charge burns by priority,
-- then soonest to lapse, then oldest; undone, it gives back to the lots it took from, last first.
CREATE FUNCTION credits_lots_for(p_entry credits_entry)
RETURNS TABLE (lot_seq bigint, amount bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF p_entry.kind = 'grant' THEN
        RETURN QUERY SELECT p_entry.seq, abs(p_entry.balance_delta);
    ELSIF p_entry.original_seq IS NULL THEN
        RETURN QUERY
            SELECT l.seq, l.remaining FROM credits_lot l
             WHERE l.account_id = p_entry.account_id AND l.remaining > 0
             ORDER BY l.priority, l.lapses_at NULLS LAST, l.seq;
    ELSIF p_entry.balance_delta < 0 THEN
        RETURN QUERY
            SELECT l.seq, l.remaining FROM credits_lot l
             WHERE l.account_id = p_entry.account_id AND l.seq = p_entry.original_seq;
    ELSE
        RETURN QUERY
            SELECT d.lot_seq, -d.amount - coalesce((
                SELECT sum(b.amount)::bigint
                  FROM credits_draw b
                  JOIN credits_entry r ON r.account_id = b.account_id AND r.seq = b.seq
                 WHERE r.account_id = d.account_id AND r.original_seq = d.seq
                   AND b.lot_seq = d.lot_seq), 0)
              FROM credits_draw d
             WHERE d.account_id = p_entry.account_id AND d.seq = p_entry.original_seq
             ORDER BY d.id DESC;
    END IF;
END $$;

CREATE FUNCTION credits_entry_moves_lots(p_entry credits_entry)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_left bigint := abs(p_entry.balance_delta);
    v_lot record;
    v_moved bigint;
BEGIN
    IF p_entry.kind = 'grant' THEN
        INSERT INTO credits_lot (account_id, seq, amount, priority, lapses_at, created_at)
        VALUES (p_entry.account_id, p_entry.seq, p_entry.balance_delta, p_entry.priority,
                p_entry.lapses_at, p_entry.created_at);
    END IF;
    FOR v_lot IN SELECT * FROM credits_lots_for(p_entry) LOOP
        EXIT WHEN v_left = 0;
        v_moved := least(v_left, v_lot.amount);
        CONTINUE WHEN v_moved = 0;
        INSERT INTO credits_draw (account_id, seq, lot_seq, amount)
        VALUES (p_entry.account_id, p_entry.seq, v_lot.lot_seq,
                sign(p_entry.balance_delta) * v_moved);
        v_left := v_left - v_moved;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION credits_entry_moves_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.kind = 'open' THEN
        RETURN NULL;
    END IF;
    UPDATE credits_account
       SET last_seq = NEW.seq, balance = NEW.balance_after, reserved = NEW.reserved_after,
           issued = issued + NEW.issued_delta, charged = charged + NEW.charged_delta,
           lapsed = lapsed + NEW.lapsed_delta
     WHERE id = NEW.account_id;
    IF NEW.kind IN ('commit', 'release', 'expire') THEN
        UPDATE credits_reservation
           SET resolved_at = NEW.created_at,
               state = CASE NEW.kind WHEN 'commit' THEN 'committed' WHEN 'release' THEN 'released'
                                     ELSE 'expired' END,
               charged = CASE NEW.kind WHEN 'commit' THEN NEW.charged_delta END
         WHERE id = NEW.reservation_id;
    END IF;
    IF NEW.balance_delta <> 0 THEN
        PERFORM credits_entry_moves_lots(NEW);
    END IF;
    RETURN NULL;
END $$;

-- Fires after the one above, by name: what moved the balance is drawn on lots to the last credit,
-- and what the lots have left is the balance.
CREATE FUNCTION credits_entry_spends_lots() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (SELECT coalesce(sum(amount), 0) FROM credits_draw
         WHERE account_id = NEW.account_id AND seq = NEW.seq) <> NEW.balance_delta THEN
        PERFORM credits_refuse(TG_NAME, 'no lot has what this entry moves');
    ELSIF (SELECT coalesce(sum(remaining), 0) FROM credits_lot
            WHERE account_id = NEW.account_id AND remaining > 0) <> NEW.balance_after THEN
        PERFORM credits_refuse('credits_lots_equal_balance', 'the lots and the balance differ');
    END IF;
    RETURN NULL;
END $$;

-- Lot -----------------------------------------------------------------------------------------

CREATE FUNCTION credits_lot_starts_empty() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.remaining, NEW.draws) IS DISTINCT FROM (0::bigint, 0::bigint) THEN
        PERFORM credits_refuse(TG_NAME, 'a lot starts empty; its grant fills it');
    END IF;
    PERFORM 1 FROM credits_entry e
     WHERE e.account_id = NEW.account_id AND e.seq = NEW.seq AND e.kind = 'grant'
       AND e.balance_delta = NEW.amount AND e.priority = NEW.priority
       AND e.lapses_at IS NOT DISTINCT FROM NEW.lapses_at AND e.created_at = NEW.created_at;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_lot_has_its_grants_terms', 'there is no such grant');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION credits_lot_moves_with_draw() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF to_jsonb(NEW) - '{remaining,draws}'::text[]
        IS DISTINCT FROM to_jsonb(OLD) - '{remaining,draws}'::text[] THEN
        PERFORM credits_refuse('credits_lot_identity_fixed', 'a lot keeps its terms');
    END IF;
    PERFORM 1 FROM credits_draw d
     WHERE d.account_id = NEW.account_id AND d.lot_seq = NEW.seq
       AND NEW.draws = OLD.draws + 1 AND d.number = NEW.draws
       AND d.remaining_after = NEW.remaining AND d.amount = NEW.remaining - OLD.remaining;
    IF NOT FOUND THEN
        PERFORM credits_refuse(TG_NAME, 'a lot stands where its last draw ends');
    END IF;
    RETURN NEW;
END $$;

-- Draw ----------------------------------------------------------------------------------------

CREATE FUNCTION credits_draw_fill() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_moved bigint;
    v_drawn numeric;
    v_lot credits_lot;
BEGIN
    IF num_nonnulls(NEW.number, NEW.remaining_after) > 0 THEN
        PERFORM credits_refuse(TG_NAME, 'the ledger itself fills in these columns');
    END IF;
    PERFORM 1 FROM credits_account WHERE id = NEW.account_id FOR NO KEY UPDATE;
    SELECT balance_delta INTO v_moved FROM credits_entry
     WHERE account_id = NEW.account_id AND seq = NEW.seq;
    SELECT coalesce(sum(amount), 0) INTO v_drawn FROM credits_draw
     WHERE account_id = NEW.account_id AND seq = NEW.seq;
    IF (sign(NEW.amount) = sign(v_moved) AND abs(v_drawn + NEW.amount) <= abs(v_moved))
        IS NOT TRUE THEN
        PERFORM credits_refuse('credits_draw_within_entry', 'the entry did not move so much');
    END IF;
    SELECT * INTO v_lot FROM credits_lot
     WHERE account_id = NEW.account_id AND seq = NEW.lot_seq;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_draw_lot_exists', 'the account has no such lot');
    END IF;
    NEW.number := v_lot.draws + 1;
    NEW.remaining_after := v_lot.remaining + NEW.amount;
    RETURN NEW;
END $$;

CREATE FUNCTION credits_draw_moves_lot() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE credits_lot SET remaining = NEW.remaining_after, draws = NEW.number
     WHERE account_id = NEW.account_id AND seq = NEW.lot_seq;
    RETURN NULL;
END $$;

-- Statement and freeze ------------------------------------------------------------------------

-- A statement's place in the chain; both hashes are worked out here, whoever inserts.
CREATE FUNCTION credits_statement_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_last credits_statement;
BEGIN
    IF num_nonnulls(NEW.number, NEW.previous_hash, NEW.hash) > 0 THEN
        PERFORM credits_refuse(TG_NAME, 'the ledger itself fills in these columns');
    END IF;
    -- One writer at a time: the next one follows this one.
    LOCK TABLE credits_statement IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO v_last FROM credits_statement ORDER BY number DESC LIMIT 1;
    IF NEW.day <= v_last.day THEN
        PERFORM credits_refuse('credits_statement_days_follow', 'a later day has its statement');
    END IF;
    NEW.created_at := clock_timestamp();
    NEW.number := coalesce(v_last.number + 1, 0);
    NEW.previous_hash := coalesce(v_last.hash, '');
    NEW.hash := encode(sha256(convert_to(concat_ws('|',
        NEW.number, to_char(NEW.day, 'YYYY-MM-DD'), NEW.accounts, NEW.entries, NEW.balance,
        NEW.reserved, NEW.issued, NEW.charged, NEW.lapsed, NEW.drifting, NEW.digest,
        NEW.previous_hash), 'UTF8')), 'hex');
    RETURN NEW;
END $$;

CREATE FUNCTION credits_freeze_lifts_once() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF to_jsonb(NEW) - '{lifted_at,lifted_by,lift_reason}'::text[]
        IS DISTINCT FROM to_jsonb(OLD) - '{lifted_at,lifted_by,lift_reason}'::text[]
        OR OLD.lifted_at IS NOT NULL OR NEW.lifted_at IS NULL THEN
        PERFORM credits_refuse(TG_NAME, 'a freeze is lifted once, and nothing else');
    END IF;
    RETURN NEW;
END $$;

-- The triggers --------------------------------------------------------------------------------

CREATE TRIGGER credits_entry_spends_lots AFTER INSERT ON credits_entry
    FOR EACH ROW WHEN (NEW.balance_delta <> 0) EXECUTE FUNCTION credits_entry_spends_lots();

CREATE TRIGGER credits_lot_starts_empty BEFORE INSERT ON credits_lot
    FOR EACH ROW EXECUTE FUNCTION credits_lot_starts_empty();
CREATE TRIGGER credits_lot_moves_with_draw BEFORE UPDATE ON credits_lot
    FOR EACH ROW EXECUTE FUNCTION credits_lot_moves_with_draw();
CREATE TRIGGER credits_lot_append_only BEFORE DELETE OR TRUNCATE ON credits_lot
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

CREATE TRIGGER credits_draw_fill BEFORE INSERT ON credits_draw
    FOR EACH ROW EXECUTE FUNCTION credits_draw_fill();
CREATE TRIGGER credits_draw_moves_lot AFTER INSERT ON credits_draw
    FOR EACH ROW EXECUTE FUNCTION credits_draw_moves_lot();
CREATE TRIGGER credits_draw_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credits_draw
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

CREATE TRIGGER credits_statement_follows BEFORE INSERT ON credits_statement
    FOR EACH ROW EXECUTE FUNCTION credits_statement_follows();
CREATE TRIGGER credits_statement_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON credits_statement
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

CREATE TRIGGER credits_freeze_lifts_once BEFORE UPDATE ON credits_freeze
    FOR EACH ROW EXECUTE FUNCTION credits_freeze_lifts_once();
CREATE TRIGGER credits_freeze_append_only BEFORE DELETE OR TRUNCATE ON credits_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

ALTER TABLE credits_entry ENABLE ALWAYS TRIGGER credits_entry_spends_lots;
ALTER TABLE credits_lot
    ENABLE ALWAYS TRIGGER credits_lot_starts_empty,
    ENABLE ALWAYS TRIGGER credits_lot_moves_with_draw,
    ENABLE ALWAYS TRIGGER credits_lot_append_only;
ALTER TABLE credits_draw
    ENABLE ALWAYS TRIGGER credits_draw_fill,
    ENABLE ALWAYS TRIGGER credits_draw_moves_lot,
    ENABLE ALWAYS TRIGGER credits_draw_append_only;
ALTER TABLE credits_statement
    ENABLE ALWAYS TRIGGER credits_statement_follows,
    ENABLE ALWAYS TRIGGER credits_statement_append_only;
ALTER TABLE credits_freeze
    ENABLE ALWAYS TRIGGER credits_freeze_lifts_once,
    ENABLE ALWAYS TRIGGER credits_freeze_append_only;
