-- A first death of a cause makes its group, and nobody waits for that (ADR 0018): where another
-- transaction is at it, which may be stopped for long or never commit, the group is left to it and,
-- should it come to nothing, to the next fold. 64 locks at most, whatever one statement buries; two
-- causes of one number leave a group to the fold as well.

CREATE FUNCTION jobs_may_make_group(p_fingerprint text) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_try_advisory_xact_lock(730720192, hashtext(p_fingerprint) & 63)
$$;

CREATE OR REPLACE FUNCTION jobs_count_deaths() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH missing AS MATERIALIZED (
            SELECT DISTINCT fingerprint FROM come
            WHERE NOT EXISTS (
                SELECT FROM jobs_failuregroup AS known
                WHERE known.fingerprint = come.fingerprint)
        ), mine AS MATERIALIZED (
            SELECT fingerprint FROM missing WHERE public.jobs_may_make_group(fingerprint)
        )
        INSERT INTO jobs_failuregroup (
            fingerprint, kind, error_class, message, deaths, open, first_seen_at, last_seen_at,
            acknowledged_by, note)
        SELECT DISTINCT ON (fingerprint)
            fingerprint, kind, error_class, message, 0, 0, died_at, died_at, '', ''
        FROM come JOIN mine USING (fingerprint) ORDER BY fingerprint, died_at, id
        ON CONFLICT (fingerprint) DO NOTHING;
        INSERT INTO jobs_failuredelta (fingerprint, deaths, open, hour, first_at, last_at)
        SELECT fingerprint, count(*), count(*) FILTER (WHERE state = 'open'),
            date_trunc('hour', died_at, 'UTC') AS hour, min(died_at), max(died_at)
        FROM come GROUP BY fingerprint, hour;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO jobs_failuredelta (fingerprint, deaths, open)
        SELECT fingerprint, sum(died), sum(opened)
        FROM (
            SELECT fingerprint, 1 AS died, (state = 'open')::int AS opened FROM come
            UNION ALL
            SELECT fingerprint, -1, -(state = 'open')::int FROM gone
        ) AS moved
        GROUP BY fingerprint HAVING sum(died) <> 0 OR sum(opened) <> 0;
    ELSE
        -- A death that is no longer on record was one all the same.
        INSERT INTO jobs_failuredelta (fingerprint, deaths, open)
        SELECT fingerprint, 0, -count(*) FROM gone WHERE state = 'open' GROUP BY fingerprint;
    END IF;
    RETURN NULL;
END $$;

-- As it was, but for the groups: made here where the transaction that meant to make one was rolled
-- back. Rows of a group that somebody is making stay for the next fold.
CREATE OR REPLACE FUNCTION jobs_fold_deaths(p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_oldest bigint[];
    v_held text[];
    v_folded integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7307201908) THEN
        RETURN 0;
    END IF;
    v_oldest := ARRAY(SELECT id FROM jobs_failuredelta ORDER BY id LIMIT p_most);
    WITH missing AS MATERIALIZED (
        SELECT DISTINCT fingerprint FROM jobs_failuredelta AS news
        WHERE id = ANY (v_oldest) AND NOT EXISTS (
            SELECT FROM jobs_failuregroup AS known WHERE known.fingerprint = news.fingerprint)
    ), mine AS MATERIALIZED (
        SELECT fingerprint FROM missing WHERE public.jobs_may_make_group(fingerprint)
    ), made AS (
        INSERT INTO jobs_failuregroup (
            fingerprint, kind, error_class, message, deaths, open, first_seen_at, last_seen_at,
            acknowledged_by, note)
        SELECT mine.fingerprint, kind, error_class, message, 0, 0, died_at, died_at, '', ''
        FROM mine CROSS JOIN LATERAL (
            SELECT kind, error_class, message, died_at FROM jobs_failedjob AS letter
            WHERE letter.fingerprint = mine.fingerprint ORDER BY died_at, id LIMIT 1
        ) AS letter
        ON CONFLICT (fingerprint) DO NOTHING
    )
    -- What has no letter either is folded into nothing: there is no cause to tell of.
    SELECT array_agg(fingerprint) INTO v_held FROM missing
    WHERE fingerprint NOT IN (SELECT fingerprint FROM mine);
    WITH taken AS MATERIALIZED (
        DELETE FROM jobs_failuredelta
        WHERE id = ANY (v_oldest) AND fingerprint <> ALL (coalesce(v_held, '{}'))
        RETURNING *
    ), hours AS (
        INSERT INTO jobs_failurehour AS known (fingerprint, hour, deaths)
        SELECT fingerprint, hour, sum(deaths) FROM taken WHERE hour IS NOT NULL
        GROUP BY fingerprint, hour
        ON CONFLICT (fingerprint, hour) DO UPDATE SET deaths = known.deaths + EXCLUDED.deaths
    ), counted AS (
        UPDATE jobs_failuregroup AS known SET deaths = known.deaths + news.deaths,
            open = known.open + news.open,
            first_seen_at = least(known.first_seen_at, news.first_at),
            last_seen_at = greatest(known.last_seen_at, news.last_at)
        FROM (
            SELECT fingerprint, sum(deaths) AS deaths, sum(open) AS open,
                min(first_at) AS first_at, max(last_at) AS last_at
            FROM taken GROUP BY fingerprint
        ) AS news
        WHERE known.fingerprint = news.fingerprint
    )
    SELECT count(*) INTO v_folded FROM taken;
    RETURN v_folded;
END $$;

REVOKE EXECUTE ON FUNCTION jobs_may_make_group(text) FROM PUBLIC;
