-- The operations anew, now that credits lapse and can be given back: those of operations.sql that
-- changed, and new ones. The same rules hold: the account's lock first, then the clock, then what
-- is overdue, holds before lots; one round trip; the owner's rights. New arguments have defaults: the
-- release before calls without them.

DROP FUNCTION credits_expire_overdue(uuid, bigint, timestamptz);
DROP FUNCTION credits_refuse_insufficient(bigint, bigint);
DROP FUNCTION credits_grant(uuid, bigint, text, text);
DROP FUNCTION credits_reserve(uuid, uuid, bigint, text, text, text, double precision, text);
DROP FUNCTION credits_commit_reservation(uuid, uuid, bigint, text, uuid);
DROP FUNCTION credits_release_reservation(uuid, uuid, text);
DROP FUNCTION credits_extend_reservation(uuid, double precision);

-- What the account's overdue lots still have.
CREATE FUNCTION credits_overdue(p_account uuid, p_now timestamptz)
RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(sum(remaining), 0)::bigint FROM credits_lot
     WHERE account_id = p_account AND remaining > 0 AND lapses_at <= p_now;
$$;

-- Let the account's overdue lots lapse, soonest first, as far as no hold needs them; returns the
-- entries. What holds pin lapses once they are resolved. The caller holds the account's lock.
CREATE FUNCTION credits_lapse_overdue(p_account uuid, p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_lot credits_lot;
    v_amount bigint;
    v_seq bigint;
    v_lapsed bigint[] := '{}';
BEGIN
    FOR v_lot IN
        SELECT * FROM credits_lot
         WHERE account_id = p_account AND remaining > 0 AND lapses_at <= p_now
         ORDER BY lapses_at, seq
    LOOP
        v_amount := least(v_lot.remaining, credits_free(p_account));
        EXIT WHEN v_amount = 0;
        INSERT INTO credits_entry (account_id, kind, original_seq, balance_delta, created_at)
        VALUES (p_account, 'lapse', v_lot.seq, -v_amount, p_now) RETURNING seq INTO v_seq;
        v_lapsed := v_lapsed || v_seq;
    END LOOP;
    RETURN v_lapsed;
END $$;

-- Expire the account's overdue holds, oldest first, then let its overdue lots lapse; the caller
-- holds the account's lock. Stops after 100 holds unless the caller needs more than is free.
CREATE FUNCTION credits_expire_overdue(
    p_account uuid, p_needed bigint, p_now timestamptz, OUT expired uuid[], OUT lapsed bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
    v_needed bigint := p_needed + credits_overdue(p_account, p_now);
BEGIN
    expired := '{}';
    FOR v_id IN
        SELECT id FROM credits_reservation
         WHERE account_id = p_account AND state = 'held' AND expires_at <= p_now
         ORDER BY expires_at
    LOOP
        EXIT WHEN cardinality(expired) >= 100 AND credits_free(p_account) >= v_needed;
        INSERT INTO credits_entry (account_id, kind, reservation_id, created_at)
        VALUES (p_account, 'expire', v_id, p_now);
        expired := expired || v_id;
    END LOOP;
    lapsed := credits_lapse_overdue(p_account, p_now);
END $$;

-- What a caller is told who is short of credits: the gap, the cheapest package that covers it, the
-- holds that block the money (the 20 that end first), and when enough of them will have ended.
-- p_except is the hold that asks.
CREATE FUNCTION credits_refuse_insufficient(
    p_account uuid, p_required bigint, p_available bigint, p_except uuid)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_package jsonb;
    v_holds jsonb;
BEGIN
    SELECT jsonb_build_object(
               'code', p.code, 'price', p.price, 'credits', p.credits, 'base_price', b.price,
               'base_credits', b.credits)
      INTO v_package
      FROM credits_package p,
           (SELECT price, credits FROM credits_package WHERE is_active
             ORDER BY credits, price LIMIT 1) b
     WHERE p.is_active AND p.credits >= p_required - p_available
     ORDER BY p.price, p.credits DESC LIMIT 1;
    WITH held AS (
        SELECT *, sum(amount) OVER first_to_end AS freed, row_number() OVER first_to_end AS place
          FROM credits_reservation
         WHERE account_id = p_account AND state = 'held' AND id IS DISTINCT FROM p_except
        WINDOW first_to_end AS (ORDER BY expires_at, id))
    SELECT jsonb_build_object(
               'total', coalesce(sum(amount), 0), 'count', count(*),
               'fits_at', min(expires_at) FILTER (WHERE p_available + freed >= p_required),
               'first', coalesce(jsonb_agg(
                   jsonb_build_object(
                       'id', id, 'credits', amount, 'subject_type', subject_type,
                       'subject_id', subject_id, 'expires_at', expires_at)
                   ORDER BY place) FILTER (WHERE place <= 20), '[]'))
      INTO v_holds FROM held;
    PERFORM credits_refuse(
        'credits_insufficient', format('%s more credits are needed', p_required - p_available),
        jsonb_build_object(
            'required', p_required, 'available', p_available, 'package', v_package,
            'holds', v_holds)::text);
END $$;

-- Operations ----------------------------------------------------------------------------------

CREATE FUNCTION credits_grant(
    p_organization uuid, p_amount bigint, p_reason text, p_reference text,
    p_priority int DEFAULT 100, p_lapses_at timestamptz DEFAULT NULL,
    OUT granted_account_id uuid, OUT entry_seq bigint, OUT available bigint, OUT is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_account credits_account := credits_lock_account(p_organization);
    v_entry credits_entry;
BEGIN
    SELECT * INTO v_entry FROM credits_entry
     WHERE account_id = v_account.id AND kind = 'grant' AND reference <> ''
       AND reference = p_reference;
    is_new := NOT FOUND;
    IF is_new THEN
        INSERT INTO credits_entry (
            account_id, kind, balance_delta, reason, reference, priority, lapses_at)
        VALUES (
            v_account.id, 'grant', p_amount, p_reason, p_reference, p_priority, p_lapses_at)
        RETURNING * INTO v_entry;
    ELSIF (v_entry.balance_delta, v_entry.priority::int, v_entry.lapses_at)
        IS DISTINCT FROM (p_amount, p_priority, p_lapses_at) THEN
        PERFORM credits_refuse('credits_reference_reused', 'this reference granted otherwise');
    END IF;
    granted_account_id := v_account.id;
    entry_seq := v_entry.seq;
    available := v_entry.balance_after - v_entry.reserved_after;
END $$;

CREATE FUNCTION credits_reserve(
    p_reservation uuid, p_organization uuid, p_amount bigint, p_subject_type text,
    p_subject_id text, p_user text, p_expires_in_s double precision, p_reference text,
    OUT reservation_id uuid, OUT amount bigint, OUT expires_at timestamptz, OUT available bigint,
    OUT is_new boolean, OUT expired uuid[], OUT lapsed bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_account credits_account := credits_lock_account(p_organization);
    v_hold credits_reservation;
    v_now timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO v_hold FROM credits_reservation
     WHERE account_id = v_account.id AND reference <> '' AND reference = p_reference;
    is_new := NOT FOUND;
    expired := '{}';
    lapsed := '{}';
    IF is_new THEN
        SELECT o.expired, o.lapsed INTO expired, lapsed
          FROM credits_expire_overdue(v_account.id, p_amount, v_now) o;
        IF credits_free(v_account.id) < p_amount THEN
            PERFORM credits_refuse_insufficient(
                v_account.id, p_amount, credits_free(v_account.id), NULL);
        END IF;
        INSERT INTO credits_reservation (
            id, account_id, amount, subject_type, subject_id, user_id, reference, created_at,
            expires_at)
        VALUES (
            p_reservation, v_account.id, p_amount, p_subject_type, p_subject_id, p_user,
            p_reference, v_now, v_now + make_interval(secs => p_expires_in_s))
        RETURNING * INTO v_hold;
    ELSIF (v_hold.amount, v_hold.subject_type, v_hold.subject_id, v_hold.user_id)
        <> (p_amount, p_subject_type, p_subject_id, p_user) THEN
        PERFORM credits_refuse('credits_reference_reused', 'this reference reserved otherwise');
    END IF;
    SELECT v_hold.id, v_hold.amount, v_hold.expires_at, balance_after - reserved_after
      INTO reservation_id, amount, expires_at, available
      FROM credits_entry e WHERE e.reservation_id = v_hold.id AND e.kind = 'reserve';
END $$;

CREATE FUNCTION credits_commit_reservation(
    p_organization uuid, p_reservation uuid, p_actual bigint, p_subject text, p_renewal uuid,
    OUT charged bigint, OUT refunded bigint, OUT available bigint, OUT renewal uuid,
    OUT is_new boolean, OUT expired uuid[], OUT lapsed bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_account credits_account := credits_lock_account(p_organization);
    v_named credits_reservation := credits_find_reservation(v_account.id, p_reservation);
    v_hold credits_reservation;
    v_now timestamptz := clock_timestamp();
    v_own uuid[] := '{}';
BEGIN
    IF p_subject <> v_named.subject_id THEN
        PERFORM credits_refuse('credits_subject_mismatch', 'the reservation is for something else');
    END IF;
    -- The hold to settle: the named one, or the one that has taken its place.
    SELECT * INTO v_hold FROM credits_reservation WHERE renews_id = v_named.id;
    v_hold := CASE WHEN FOUND THEN v_hold ELSE v_named END;
    is_new := v_hold.state IN ('held', 'expired');
    expired := '{}';
    lapsed := '{}';
    IF is_new THEN
        IF v_hold.state = 'expired' OR v_hold.expires_at <= v_now THEN
            IF v_hold.state = 'held' THEN
                INSERT INTO credits_entry (account_id, kind, reservation_id, created_at)
                VALUES (v_account.id, 'expire', v_hold.id, v_now);
                v_own := ARRAY[v_hold.id];
            END IF;
            SELECT v_own || o.expired, o.lapsed INTO expired, lapsed
              FROM credits_expire_overdue(v_account.id, greatest(p_actual, 1), v_now) o;
            v_hold := credits_renew(v_hold, p_renewal, p_actual, v_now);
        ELSE
            SELECT o.expired, o.lapsed INTO expired, lapsed
              FROM credits_expire_overdue(v_account.id, p_actual - v_hold.amount, v_now) o;
            IF credits_free(v_account.id) + v_hold.amount < p_actual THEN
                PERFORM credits_refuse_insufficient(
                    v_account.id, p_actual, credits_free(v_account.id) + v_hold.amount, v_hold.id);
            END IF;
        END IF;
        INSERT INTO credits_entry (account_id, kind, reservation_id, balance_delta, created_at)
        VALUES (v_account.id, 'commit', v_hold.id, -p_actual, v_now);
    ELSIF v_hold.state <> 'committed' OR v_hold.charged <> p_actual THEN
        PERFORM credits_refuse_resolved(v_hold);
    END IF;
    SELECT p_actual, greatest(v_named.amount - p_actual, 0), balance_after - reserved_after,
           CASE WHEN v_hold.id <> v_named.id THEN v_hold.id END
      INTO charged, refunded, available, renewal
      FROM credits_entry e WHERE e.reservation_id = v_hold.id AND e.kind = 'commit';
END $$;

CREATE FUNCTION credits_release_reservation(
    p_organization uuid, p_reservation uuid, p_reason text,
    OUT released bigint, OUT available bigint, OUT is_new boolean, OUT expired uuid[],
    OUT lapsed bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_account credits_account := credits_lock_account(p_organization);
    v_hold credits_reservation := credits_find_reservation(v_account.id, p_reservation);
    v_now timestamptz := clock_timestamp();
BEGIN
    IF v_hold.state = 'held' AND v_hold.expires_at <= v_now THEN
        PERFORM credits_refuse('credits_reservation_already_expired', 'the reservation is expired');
    END IF;
    is_new := v_hold.state = 'held';
    expired := '{}';
    lapsed := '{}';
    IF is_new THEN
        SELECT o.expired, o.lapsed INTO expired, lapsed
          FROM credits_expire_overdue(v_account.id, 0, v_now) o;
        INSERT INTO credits_entry (account_id, kind, reservation_id, reason, created_at)
        VALUES (v_account.id, 'release', v_hold.id, p_reason, v_now);
    ELSIF v_hold.state <> 'released' THEN
        -- A renewed hold was committed after all, which is what the caller should hear.
        SELECT * INTO v_hold FROM credits_reservation r
         WHERE r.id = p_reservation OR r.renews_id = p_reservation
         ORDER BY r.renews_id NULLS LAST LIMIT 1;
        PERFORM credits_refuse_resolved(v_hold);
    END IF;
    SELECT v_hold.amount, balance_after - reserved_after INTO released, available
      FROM credits_entry e WHERE e.reservation_id = v_hold.id AND e.kind = 'release';
END $$;

-- A live hold lasts at least p_expires_in_s from now, but never longer than p_ceiling_s from when
-- it was made: the extension that meets the ceiling is cut, the next one is refused.
CREATE FUNCTION credits_extend_reservation(
    p_reservation uuid, p_expires_in_s double precision,
    p_ceiling_s double precision DEFAULT 14400,
    OUT expires_at timestamptz, OUT organization_id uuid, OUT is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_hold credits_reservation;
    v_wanted timestamptz;
    v_ceiling timestamptz;
BEGIN
    SELECT a.organization_id INTO organization_id
      FROM credits_account a JOIN credits_reservation r ON r.account_id = a.id
     WHERE r.id = p_reservation FOR NO KEY UPDATE OF a;
    SELECT * INTO v_hold FROM credits_reservation WHERE id = p_reservation;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_reservation_not_found', 'there is no such reservation');
    ELSIF v_hold.state <> 'held' THEN
        PERFORM credits_refuse_resolved(v_hold);
    ELSIF v_hold.expires_at <= clock_timestamp() THEN
        PERFORM credits_refuse('credits_reservation_already_expired', 'the reservation is expired');
    END IF;
    v_wanted := clock_timestamp() + make_interval(secs => p_expires_in_s);
    v_ceiling := v_hold.created_at + make_interval(secs => p_ceiling_s);
    IF v_wanted > v_ceiling AND v_hold.expires_at >= v_ceiling THEN
        PERFORM credits_refuse(
            'credits_reservation_ceiling', 'the hold lasts as long as one may',
            jsonb_build_object('expires', v_hold.expires_at, 'ceilingSeconds', p_ceiling_s)::text);
    END IF;
    v_wanted := least(v_wanted, v_ceiling);
    is_new := v_wanted > v_hold.expires_at;
    expires_at := greatest(v_wanted, v_hold.expires_at);
    IF is_new THEN
        UPDATE credits_reservation SET expires_at = v_wanted WHERE id = p_reservation;
    END IF;
END $$;

-- One swept account. A busy one is skipped: whoever holds its lock lets its lots lapse.
CREATE FUNCTION credits_lapse(p_account uuid, OUT organization_id uuid, OUT lapsed bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    lapsed := '{}';
    SELECT a.organization_id INTO organization_id FROM credits_account a
     WHERE a.id = p_account FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        lapsed := credits_lapse_overdue(p_account, clock_timestamp());
    END IF;
END $$;

-- Undo a grant or a charge, in part or (p_amount NULL) as far as it can be. A grant can be taken
-- back as far as its lot still has it and no hold needs it; a charge is given back to the lots it
-- was burnt from.
CREATE FUNCTION credits_reverse(
    p_organization uuid, p_original bigint, p_amount bigint, p_reason text, p_reference text,
    OUT entry_seq bigint, OUT reversed bigint, OUT original_kind text, OUT available bigint,
    OUT is_new boolean, OUT expired uuid[], OUT lapsed bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_account credits_account := credits_lock_account(p_organization);
    v_original credits_entry;
    v_entry credits_entry;
    v_now timestamptz := clock_timestamp();
    v_possible bigint;
BEGIN
    expired := '{}';
    lapsed := '{}';
    SELECT * INTO v_original FROM credits_entry
     WHERE account_id = v_account.id AND seq = p_original;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_entry_not_found', 'the account has no such entry');
    ELSIF v_original.kind NOT IN ('grant', 'commit') OR v_original.balance_delta = 0 THEN
        PERFORM credits_refuse(
            'credits_entry_not_reversible', 'only a grant or a charge can be undone');
    END IF;
    SELECT * INTO v_entry FROM credits_entry
     WHERE account_id = v_account.id AND kind = 'reversal' AND reference <> ''
       AND reference = p_reference;
    is_new := NOT FOUND;
    IF is_new THEN
        SELECT o.expired, o.lapsed INTO expired, lapsed
          FROM credits_expire_overdue(v_account.id, 0, v_now) o;
        SELECT abs(v_original.balance_delta) - coalesce(abs(sum(balance_delta)), 0)
          INTO v_possible FROM credits_entry
         WHERE account_id = v_account.id AND original_seq = p_original AND kind = 'reversal';
        IF v_original.kind = 'grant' THEN
            SELECT least(v_possible, remaining, credits_free(v_account.id)) INTO v_possible
              FROM credits_lot WHERE account_id = v_account.id AND seq = p_original;
        END IF;
        IF v_possible = 0 OR coalesce(p_amount, v_possible) > v_possible THEN
            PERFORM credits_refuse(
                'credits_reversal_too_large', format('at most %s can be undone', v_possible),
                jsonb_build_object('reversible', v_possible)::text);
        END IF;
        INSERT INTO credits_entry (
            account_id, kind, original_seq, balance_delta, reason, reference, created_at)
        VALUES (
            v_account.id, 'reversal', p_original,
            -sign(v_original.balance_delta) * coalesce(p_amount, v_possible), p_reason,
            p_reference, v_now)
        RETURNING * INTO v_entry;
    ELSIF v_entry.original_seq <> p_original
        OR abs(v_entry.balance_delta) <> coalesce(p_amount, abs(v_entry.balance_delta)) THEN
        PERFORM credits_refuse('credits_reference_reused', 'this reference reversed otherwise');
    END IF;
    entry_seq := v_entry.seq;
    reversed := abs(v_entry.balance_delta);
    original_kind := v_original.kind;
    available := v_entry.balance_after - v_entry.reserved_after;
END $$;

-- What of findings tells one drift from another; the figures themselves move with every entry.
CREATE FUNCTION credits_drift_of(p_findings jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_agg(f.finding - '{expected,found}'::text[] ORDER BY f.place)
      FROM jsonb_array_elements(p_findings) WITH ORDINALITY f (finding, place);
$$;

-- Freeze an account: whoever is charging it now is waited for, and nobody is afterwards. Findings
-- that an operator has lifted a freeze for do not freeze it again.
CREATE FUNCTION credits_freeze_account(
    p_account uuid, p_findings jsonb, OUT organization_id uuid, OUT is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_last credits_freeze;
BEGIN
    SELECT a.organization_id INTO STRICT organization_id FROM credits_account a
     WHERE a.id = p_account FOR NO KEY UPDATE;
    SELECT * INTO v_last FROM credits_freeze
     WHERE account_id = p_account ORDER BY id DESC LIMIT 1;
    is_new := NOT FOUND OR (
        v_last.lifted_at IS NOT NULL
        AND credits_drift_of(v_last.findings) IS DISTINCT FROM credits_drift_of(p_findings));
    IF is_new THEN
        INSERT INTO credits_freeze (account_id, findings, frozen_at)
        VALUES (p_account, p_findings, clock_timestamp());
    END IF;
END $$;

CREATE FUNCTION credits_lift_freeze(
    p_freeze bigint, p_actor text, p_reason text, OUT account_id uuid, OUT organization_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    SELECT a.id, a.organization_id INTO account_id, organization_id FROM credits_account a
     WHERE a.id = (SELECT f.account_id FROM credits_freeze f WHERE f.id = p_freeze)
       FOR NO KEY UPDATE;
    UPDATE credits_freeze f
       SET lifted_at = clock_timestamp(), lifted_by = p_actor, lift_reason = p_reason
     WHERE f.id = p_freeze AND f.lifted_at IS NULL;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_freeze_not_open', 'there is no such freeze to lift');
    END IF;
END $$;

-- How every account stood when a day ended: a line each, and the digest of all of them.
CREATE FUNCTION credits_digest(
    p_day date, OUT accounts bigint, OUT entries bigint, OUT balance bigint, OUT reserved bigint,
    OUT issued bigint, OUT charged bigint, OUT lapsed bigint, OUT digest text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*), coalesce(sum(t.entries), 0), coalesce(sum(t.balance), 0),
           coalesce(sum(t.reserved), 0), coalesce(sum(t.issued), 0), coalesce(sum(t.charged), 0),
           coalesce(sum(t.lapsed), 0),
           encode(sha256(convert_to(coalesce(string_agg(
               concat_ws(' ', t.account_id, t.entries, t.balance, t.reserved, t.issued, t.charged,
                         t.lapsed), E'\n' ORDER BY t.account_id), ''), 'UTF8')), 'hex')
      FROM (SELECT account_id, count(*) AS entries, sum(balance_delta) AS balance,
                   sum(reserved_delta) AS reserved, sum(issued_delta) AS issued,
                   sum(charged_delta) AS charged, sum(lapsed_delta) AS lapsed
              FROM credits_entry
             WHERE created_at < ((p_day + 1)::timestamp AT TIME ZONE 'UTC')
             GROUP BY account_id) t;
$$;

-- Write the statement of a day that is over, once; no entry of it can be on its way any more.
CREATE FUNCTION credits_write_statement(p_day date, p_drifting bigint, OUT is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF clock_timestamp() < ((p_day + 1)::timestamp AT TIME ZONE 'UTC') + interval '5 minutes' THEN
        PERFORM credits_refuse('credits_statement_day_is_over', 'the day is not over');
    END IF;
    LOCK TABLE credits_statement IN SHARE ROW EXCLUSIVE MODE;
    is_new := NOT EXISTS (SELECT FROM credits_statement WHERE day = p_day);
    IF is_new THEN
        INSERT INTO credits_statement (
            day, accounts, entries, balance, reserved, issued, charged, lapsed, drifting, digest)
        SELECT p_day, d.accounts, d.entries, d.balance, d.reserved, d.issued, d.charged, d.lapsed,
               p_drifting, d.digest
          FROM credits_digest(p_day) d;
    END IF;
END $$;

REVOKE ALL ON FUNCTION
    credits_grant, credits_reserve, credits_commit_reservation, credits_release_reservation,
    credits_extend_reservation, credits_lapse, credits_reverse, credits_freeze_account,
    credits_lift_freeze, credits_write_statement
FROM PUBLIC;
