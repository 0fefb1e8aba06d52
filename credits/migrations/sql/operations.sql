-- One function per operation, one round trip each: the row lock on the account lasts until the
-- caller's COMMIT is flushed, so nothing else may happen over the wire meanwhile. Each takes the
-- account's lock first, reads the clock once and only then (hence v_now behind v_account), and
-- expires the account's overdue holds before it looks at what is available. They run as the owner:
-- the application role reads these tables, calls these functions, and writes nothing itself.
-- A refusal is SQLSTATE 23514 with a constraint name; credits/services/ledger.py knows them.

CREATE FUNCTION credits_lock_account(p_organization uuid)
RETURNS credits_account LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_account credits_account;
BEGIN
    SELECT * INTO v_account FROM credits_account
     WHERE organization_id = p_organization FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_account_not_found', 'the organization has no account');
    END IF;
    RETURN v_account;
END $$;

CREATE FUNCTION credits_free(p_account uuid)
RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT balance - reserved FROM credits_account WHERE id = p_account;
$$;

-- Expire the account's overdue holds, oldest first; the caller holds the account's lock. Stops
-- after 100 unless the caller needs more than has become free.
CREATE FUNCTION credits_expire_overdue(p_account uuid, p_needed bigint, p_now timestamptz)
RETURNS uuid[] LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
    v_expired uuid[] := '{}';
BEGIN
    FOR v_id IN
        SELECT id FROM credits_reservation
         WHERE account_id = p_account AND state = 'held' AND expires_at <= p_now
         ORDER BY expires_at
    LOOP
        EXIT WHEN cardinality(v_expired) >= 100 AND credits_free(p_account) >= p_needed;
        INSERT INTO credits_entry (account_id, kind, reservation_id, created_at)
        VALUES (p_account, 'expire', v_id, p_now);
        v_expired := v_expired || v_id;
    END LOOP;
    RETURN v_expired;
END $$;

-- What a caller is told who is short of credits: the gap, and the cheapest package that covers it.
CREATE FUNCTION credits_refuse_insufficient(p_required bigint, p_available bigint)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_package jsonb;
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
    PERFORM credits_refuse(
        'credits_insufficient', format('%s more credits are needed', p_required - p_available),
        jsonb_build_object(
            'required', p_required, 'available', p_available, 'package', v_package)::text);
END $$;

CREATE FUNCTION credits_find_reservation(p_account uuid, p_reservation uuid)
RETURNS credits_reservation LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold credits_reservation;
BEGIN
    SELECT * INTO v_hold FROM credits_reservation
     WHERE id = p_reservation AND account_id = p_account;
    IF NOT FOUND THEN
        PERFORM credits_refuse('credits_reservation_not_found', 'there is no such reservation');
    END IF;
    RETURN v_hold;
END $$;

-- Refuse to resolve a reservation that something else has resolved.
CREATE FUNCTION credits_refuse_resolved(p_hold credits_reservation)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM credits_refuse(
        'credits_reservation_already_' || p_hold.state,
        format('the reservation is %s', p_hold.state),
        jsonb_build_object('resolvedAt', p_hold.resolved_at, 'charged', p_hold.charged)::text);
END $$;

-- Operations ----------------------------------------------------------------------------------

CREATE FUNCTION credits_open_account(
    p_account uuid, p_organization uuid, OUT account_id uuid, OUT is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO credits_account (id, organization_id) VALUES (p_account, p_organization)
    ON CONFLICT (organization_id) DO NOTHING;
    is_new := FOUND;
    SELECT id INTO STRICT account_id FROM credits_account WHERE organization_id = p_organization;
END $$;

CREATE FUNCTION credits_grant(
    p_organization uuid, p_amount bigint, p_reason text, p_reference text,
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
        INSERT INTO credits_entry (account_id, kind, balance_delta, reason, reference)
        VALUES (v_account.id, 'grant', p_amount, p_reason, p_reference) RETURNING * INTO v_entry;
    ELSIF v_entry.balance_delta <> p_amount THEN
        PERFORM credits_refuse('credits_reference_reused', 'this reference granted another amount');
    END IF;
    granted_account_id := v_account.id;
    entry_seq := v_entry.seq;
    available := v_entry.balance_after - v_entry.reserved_after;
END $$;

CREATE FUNCTION credits_reserve(
    p_reservation uuid, p_organization uuid, p_amount bigint, p_subject_type text,
    p_subject_id text, p_user text, p_expires_in_s double precision, p_reference text,
    OUT reservation_id uuid, OUT amount bigint, OUT expires_at timestamptz, OUT available bigint,
    OUT is_new boolean, OUT expired uuid[])
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
    IF is_new THEN
        expired := credits_expire_overdue(v_account.id, p_amount, v_now);
        IF credits_free(v_account.id) < p_amount THEN
            PERFORM credits_refuse_insufficient(p_amount, credits_free(v_account.id));
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

-- The hold is gone, the work was done: take its credits by a new hold if they are still there.
CREATE FUNCTION credits_renew(
    p_hold credits_reservation, p_renewal uuid, p_actual bigint, p_now timestamptz)
RETURNS credits_reservation
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    -- A hold has at least one credit, also where nothing is charged in the end.
    v_amount bigint := greatest(p_actual, 1);
    v_free bigint := credits_free(p_hold.account_id);
    v_renewal credits_reservation;
BEGIN
    IF v_free < v_amount THEN
        PERFORM credits_refuse(
            'credits_reservation_already_expired', 'the reservation is expired',
            jsonb_build_object('required', p_actual, 'available', v_free)::text);
    END IF;
    INSERT INTO credits_reservation (
        id, account_id, amount, subject_type, subject_id, user_id, renews_id, created_at,
        expires_at)
    VALUES (
        p_renewal, p_hold.account_id, v_amount, p_hold.subject_type, p_hold.subject_id,
        p_hold.user_id, p_hold.id, p_now, p_now + interval '1 minute')
    RETURNING * INTO v_renewal;
    RETURN v_renewal;
END $$;

CREATE FUNCTION credits_commit_reservation(
    p_organization uuid, p_reservation uuid, p_actual bigint, p_subject text, p_renewal uuid,
    OUT charged bigint, OUT refunded bigint, OUT available bigint, OUT renewal uuid,
    OUT is_new boolean, OUT expired uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_account credits_account := credits_lock_account(p_organization);
    v_named credits_reservation := credits_find_reservation(v_account.id, p_reservation);
    v_hold credits_reservation;
    v_now timestamptz := clock_timestamp();
BEGIN
    IF p_subject <> v_named.subject_id THEN
        PERFORM credits_refuse('credits_subject_mismatch', 'the reservation is for something else');
    END IF;
    -- The hold to settle: the named one, or the one that has taken its place.
    SELECT * INTO v_hold FROM credits_reservation WHERE renews_id = v_named.id;
    v_hold := CASE WHEN FOUND THEN v_hold ELSE v_named END;
    is_new := v_hold.state IN ('held', 'expired');
    expired := '{}';
    IF is_new THEN
        IF v_hold.state = 'expired' OR v_hold.expires_at <= v_now THEN
            IF v_hold.state = 'held' THEN
                INSERT INTO credits_entry (account_id, kind, reservation_id, created_at)
                VALUES (v_account.id, 'expire', v_hold.id, v_now);
                expired := ARRAY[v_hold.id];
            END IF;
            expired := expired
                || credits_expire_overdue(v_account.id, greatest(p_actual, 1), v_now);
            v_hold := credits_renew(v_hold, p_renewal, p_actual, v_now);
        ELSE
            expired := credits_expire_overdue(v_account.id, p_actual - v_hold.amount, v_now);
            IF credits_free(v_account.id) + v_hold.amount < p_actual THEN
                PERFORM credits_refuse_insufficient(
                    p_actual, credits_free(v_account.id) + v_hold.amount);
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
    OUT released bigint, OUT available bigint, OUT is_new boolean, OUT expired uuid[])
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
    IF is_new THEN
        expired := credits_expire_overdue(v_account.id, 0, v_now);
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

CREATE FUNCTION credits_extend_reservation(
    p_reservation uuid, p_expires_in_s double precision,
    OUT expires_at timestamptz, OUT organization_id uuid, OUT is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_hold credits_reservation;
    v_until timestamptz;
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
    v_until := clock_timestamp() + make_interval(secs => p_expires_in_s);
    is_new := v_until > v_hold.expires_at;
    expires_at := greatest(v_until, v_hold.expires_at);
    IF is_new THEN
        UPDATE credits_reservation SET expires_at = v_until WHERE id = p_reservation;
    END IF;
END $$;

-- One swept item. A busy account is skipped: whoever holds its lock expires its overdue holds.
CREATE FUNCTION credits_expire_reservation(
    p_reservation uuid, OUT is_expired boolean, OUT organization_id uuid, OUT amount bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_account uuid;
    v_now timestamptz;
BEGIN
    is_expired := false;
    SELECT a.id, a.organization_id INTO v_account, organization_id
      FROM credits_account a
     WHERE a.id = (SELECT r.account_id FROM credits_reservation r WHERE r.id = p_reservation)
       FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_now := clock_timestamp();
    SELECT r.amount INTO amount FROM credits_reservation r
     WHERE r.id = p_reservation AND r.state = 'held' AND r.expires_at <= v_now;
    is_expired := FOUND;
    IF is_expired THEN
        INSERT INTO credits_entry (account_id, kind, reservation_id, created_at)
        VALUES (v_account, 'expire', p_reservation, v_now);
    END IF;
END $$;

-- Who may call ---------------------------------------------------------------------------------

-- Functions are open to everybody by default; these are for the owner and for the application
-- role, which `manage.py grant_application_role` names.
REVOKE ALL ON FUNCTION
    credits_open_account, credits_grant, credits_reserve, credits_commit_reservation,
    credits_release_reservation, credits_extend_reservation, credits_expire_reservation
FROM PUBLIC;
