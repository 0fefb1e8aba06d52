-- The ledger's guards. Constraints and triggers each hold the ledger by themselves: foreign keys
-- are off under session_replication_role = replica, where these triggers (ENABLE ALWAYS) still fire.
-- Every function runs as the owner, with pg_temp last, so that no caller can put a temporary table
-- of the same name before the real one.

-- The chain -----------------------------------------------------------------------------------

ALTER TABLE credits_entry
    ADD CONSTRAINT credits_entry_follows_previous
        FOREIGN KEY (account_id, previous_seq, balance_before, reserved_before)
        REFERENCES credits_entry (account_id, seq, balance_after, reserved_after),
    ADD CONSTRAINT credits_entry_names_its_hold
        FOREIGN KEY (reservation_id, account_id, hold)
        REFERENCES credits_reservation (id, account_id, amount);

-- Deferred: an account and its first entry need each other.
ALTER TABLE credits_account
    ADD CONSTRAINT credits_account_last_entry
        FOREIGN KEY (id, last_seq, balance, reserved)
        REFERENCES credits_entry (account_id, seq, balance_after, reserved_after)
        DEFERRABLE INITIALLY DEFERRED;

-- What every guard says -----------------------------------------------------------------------

CREATE FUNCTION credits_refuse(p_constraint text, p_message text, p_detail text DEFAULT '')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation', CONSTRAINT = p_constraint, MESSAGE = p_message,
        DETAIL = p_detail;
END $$;

-- When a row is written: now, or the moment its operation has read after taking the lock, which is
-- within the running statement. An operation happens at one instant.
CREATE FUNCTION credits_instant(p_given timestamptz)
RETURNS timestamptz LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CASE WHEN p_given IS NULL THEN clock_timestamp()
                ELSE greatest(statement_timestamp(), least(p_given, clock_timestamp())) END;
$$;

CREATE FUNCTION credits_append_only() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM credits_refuse(
        TG_TABLE_NAME || '_append_only', format('%s on %s is refused', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;

-- Account -------------------------------------------------------------------------------------

CREATE FUNCTION credits_account_starts_empty() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.balance, NEW.reserved, NEW.issued, NEW.charged, NEW.last_seq)
        IS DISTINCT FROM (0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint) THEN
        PERFORM credits_refuse(TG_NAME, 'an account starts empty; grant credits to it');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION credits_account_opens() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO credits_entry (account_id, kind) VALUES (NEW.id, 'open');
    RETURN NULL;
END $$;

-- An account moves by one entry, to exactly where that entry ends.
CREATE FUNCTION credits_account_moves_with_entry() RETURNS trigger
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
       AND e.charged_delta = NEW.charged - OLD.charged;
    IF NOT FOUND THEN
        PERFORM credits_refuse(TG_NAME, 'an account stands where its last entry ends');
    END IF;
    RETURN NEW;
END $$;

-- Reservation ---------------------------------------------------------------------------------

CREATE FUNCTION credits_reservation_starts_held() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- The account is locked before anything of it, here as everywhere.
    PERFORM 1 FROM credits_account WHERE id = NEW.account_id FOR NO KEY UPDATE;
    IF NEW.state IS DISTINCT FROM 'held' OR NEW.resolved_at IS NOT NULL
        OR NEW.charged IS NOT NULL THEN
        PERFORM credits_refuse(TG_NAME, 'a reservation starts held');
    END IF;
    IF NEW.renews_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM credits_reservation r
         WHERE r.id = NEW.renews_id AND r.account_id = NEW.account_id AND r.state = 'expired') THEN
        PERFORM credits_refuse(
            'credits_reservation_renews_expired',
            'only an expired reservation of the same account can be renewed');
    END IF;
    NEW.created_at := credits_instant(NEW.created_at);
    RETURN NEW;
END $$;

CREATE FUNCTION credits_reservation_holds() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO credits_entry (account_id, kind, reservation_id, created_at)
    VALUES (NEW.account_id, 'reserve', NEW.id, NEW.created_at);
    RETURN NULL;
END $$;

-- A reservation changes in two ways: its entry resolves it, or the expiry of a live hold moves on.
CREATE FUNCTION credits_reservation_moves_with_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF to_jsonb(NEW) - '{state,resolved_at,charged,expires_at}'::text[]
        IS DISTINCT FROM to_jsonb(OLD) - '{state,resolved_at,charged,expires_at}'::text[] THEN
        PERFORM credits_refuse(
            'credits_reservation_identity_fixed', 'a reservation keeps its identity');
    END IF;
    IF OLD.state <> 'held' THEN
        PERFORM credits_refuse(
            'credits_reservation_resolves_once', 'this reservation is resolved');
    END IF;
    IF NEW.expires_at IS DISTINCT FROM OLD.expires_at AND (
        NEW.state <> 'held' OR NEW.expires_at <= OLD.expires_at
        OR OLD.expires_at <= clock_timestamp()) IS NOT FALSE THEN
        PERFORM credits_refuse(
            'credits_reservation_expiry_moves_on', 'only the expiry of a live hold moves, forward');
    END IF;
    IF NEW.state IS DISTINCT FROM 'held' AND NOT EXISTS (
        SELECT FROM credits_entry e
         WHERE e.reservation_id = NEW.id AND e.created_at = NEW.resolved_at
           AND (e.kind, NEW.state) IN (
               ('commit', 'committed'), ('release', 'released'), ('expire', 'expired'))
           AND NEW.charged IS NOT DISTINCT FROM CASE e.kind WHEN 'commit' THEN e.charged_delta END)
    THEN
        PERFORM credits_refuse(TG_NAME, 'a reservation is resolved by its entry');
    END IF;
    RETURN NEW;
END $$;

-- Entry ---------------------------------------------------------------------------------------

-- May this entry be written for that reservation, now? Called under the account's lock.
CREATE FUNCTION credits_entry_check_hold(p_entry credits_entry, p_hold credits_reservation)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_hold.id IS NULL OR p_hold.account_id <> p_entry.account_id THEN
        PERFORM credits_refuse(
            'credits_entry_hold_exists', 'the account has no such reservation');
    ELSIF p_hold.state <> 'held' THEN
        PERFORM credits_refuse(
            'credits_reservation_resolves_once', 'this reservation is resolved');
    ELSIF p_entry.kind = 'commit' AND p_hold.expires_at <= p_entry.created_at THEN
        PERFORM credits_refuse('credits_entry_commit_in_time', 'the hold is past its expiry');
    ELSIF p_entry.kind = 'expire' AND p_hold.expires_at > p_entry.created_at THEN
        PERFORM credits_refuse('credits_entry_expire_when_due', 'the hold is not past its expiry');
    END IF;
END $$;

CREATE FUNCTION credits_entry_fill() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_account credits_account;
    v_hold credits_reservation;
BEGIN
    IF num_nonnulls(
        NEW.seq, NEW.hold, NEW.balance_before, NEW.balance_after, NEW.reserved_before,
        NEW.reserved_delta, NEW.reserved_after, NEW.issued_delta, NEW.charged_delta) > 0 THEN
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
    NEW.seq := CASE NEW.kind WHEN 'open' THEN 0 ELSE v_account.last_seq + 1 END;
    NEW.balance_before := v_account.balance;
    NEW.balance_after := v_account.balance + NEW.balance_delta;
    NEW.reserved_delta := CASE
        WHEN NEW.reservation_id IS NULL THEN 0
        WHEN NEW.kind = 'reserve' THEN NEW.hold
        ELSE -NEW.hold END;
    NEW.reserved_before := v_account.reserved;
    NEW.reserved_after := v_account.reserved + NEW.reserved_delta;
    NEW.issued_delta := greatest(NEW.balance_delta, 0);
    NEW.charged_delta := greatest(-NEW.balance_delta, 0);
    RETURN NEW;
END $$;

CREATE FUNCTION credits_entry_moves_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.kind = 'open' THEN
        RETURN NULL;
    END IF;
    UPDATE credits_account
       SET last_seq = NEW.seq, balance = NEW.balance_after, reserved = NEW.reserved_after,
           issued = issued + NEW.issued_delta, charged = charged + NEW.charged_delta
     WHERE id = NEW.account_id;
    IF NEW.kind IN ('commit', 'release', 'expire') THEN
        UPDATE credits_reservation
           SET resolved_at = NEW.created_at,
               state = CASE NEW.kind WHEN 'commit' THEN 'committed' WHEN 'release' THEN 'released'
                                     ELSE 'expired' END,
               charged = CASE NEW.kind WHEN 'commit' THEN NEW.charged_delta END
         WHERE id = NEW.reservation_id;
    END IF;
    RETURN NULL;
END $$;

-- The triggers --------------------------------------------------------------------------------

CREATE TRIGGER credits_account_starts_empty BEFORE INSERT ON credits_account
    FOR EACH ROW EXECUTE FUNCTION credits_account_starts_empty();
CREATE TRIGGER credits_account_opens AFTER INSERT ON credits_account
    FOR EACH ROW EXECUTE FUNCTION credits_account_opens();
CREATE TRIGGER credits_account_moves_with_entry BEFORE UPDATE ON credits_account
    FOR EACH ROW EXECUTE FUNCTION credits_account_moves_with_entry();
CREATE TRIGGER credits_account_append_only BEFORE DELETE OR TRUNCATE ON credits_account
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

CREATE TRIGGER credits_reservation_starts_held BEFORE INSERT ON credits_reservation
    FOR EACH ROW EXECUTE FUNCTION credits_reservation_starts_held();
CREATE TRIGGER credits_reservation_holds AFTER INSERT ON credits_reservation
    FOR EACH ROW EXECUTE FUNCTION credits_reservation_holds();
CREATE TRIGGER credits_reservation_moves_with_entry BEFORE UPDATE ON credits_reservation
    FOR EACH ROW EXECUTE FUNCTION credits_reservation_moves_with_entry();
CREATE TRIGGER credits_reservation_append_only BEFORE DELETE OR TRUNCATE ON credits_reservation
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

CREATE TRIGGER credits_entry_fill BEFORE INSERT ON credits_entry
    FOR EACH ROW EXECUTE FUNCTION credits_entry_fill();
CREATE TRIGGER credits_entry_moves_account AFTER INSERT ON credits_entry
    FOR EACH ROW EXECUTE FUNCTION credits_entry_moves_account();
CREATE TRIGGER credits_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credits_entry
    FOR EACH STATEMENT EXECUTE FUNCTION credits_append_only();

ALTER TABLE credits_account
    ENABLE ALWAYS TRIGGER credits_account_starts_empty,
    ENABLE ALWAYS TRIGGER credits_account_opens,
    ENABLE ALWAYS TRIGGER credits_account_moves_with_entry,
    ENABLE ALWAYS TRIGGER credits_account_append_only;
ALTER TABLE credits_reservation
    ENABLE ALWAYS TRIGGER credits_reservation_starts_held,
    ENABLE ALWAYS TRIGGER credits_reservation_holds,
    ENABLE ALWAYS TRIGGER credits_reservation_moves_with_entry,
    ENABLE ALWAYS TRIGGER credits_reservation_append_only;
ALTER TABLE credits_entry
    ENABLE ALWAYS TRIGGER credits_entry_fill,
    ENABLE ALWAYS TRIGGER credits_entry_moves_account,
    ENABLE ALWAYS TRIGGER credits_entry_append_only;
