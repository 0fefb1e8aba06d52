-- How often a cause of death was seen, counted by the database whoever writes a letter (ADR 0018).
-- Each statement adds one row for each group it touches; nothing that exists is locked or changed,
-- so deaths of one cause do not wait for each other. `jobs_fold_deaths` adds the rows up. Definer's
-- rights, for the roles that write letters may not write counts.

CREATE FUNCTION jobs_count_deaths() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO jobs_failuregroup (
            fingerprint, kind, error_class, message, deaths, open, first_seen_at, last_seen_at,
            acknowledged_by, note)
        SELECT DISTINCT ON (fingerprint)
            fingerprint, kind, error_class, message, 0, 0, died_at, died_at, '', ''
        FROM come ORDER BY fingerprint, died_at, id
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

CREATE TRIGGER failed_job_counted_1_new AFTER INSERT ON jobs_failedjob
    REFERENCING NEW TABLE AS come FOR EACH STATEMENT EXECUTE FUNCTION jobs_count_deaths();
CREATE TRIGGER failed_job_counted_2_moved AFTER UPDATE ON jobs_failedjob
    REFERENCING OLD TABLE AS gone NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_count_deaths();
CREATE TRIGGER failed_job_counted_3_gone AFTER DELETE ON jobs_failedjob
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION jobs_count_deaths();
ALTER TABLE jobs_failedjob
    ENABLE ALWAYS TRIGGER failed_job_counted_1_new,
    ENABLE ALWAYS TRIGGER failed_job_counted_2_moved,
    ENABLE ALWAYS TRIGGER failed_job_counted_3_gone;

-- Add up at most so many rows, the oldest first; returns how many, none where another is at it.
-- A letter is answered after its death was committed, under a higher number: no count goes below
-- zero in between.
CREATE FUNCTION jobs_fold_deaths(p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_folded integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7307201908) THEN
        RETURN 0;
    END IF;
    WITH taken AS MATERIALIZED (
        DELETE FROM jobs_failuredelta
        WHERE id IN (SELECT id FROM jobs_failuredelta ORDER BY id LIMIT p_most)
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

-- Hours are drawn for a while and then forgotten; the group keeps its sum.
CREATE FUNCTION jobs_forget_hours(p_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_gone integer;
BEGIN
    DELETE FROM jobs_failurehour WHERE hour < p_before;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END $$;

-- What was folded is dead weight for whoever looks up a group: away with it each minute.
ALTER TABLE jobs_failuredelta SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000);

REVOKE EXECUTE ON FUNCTION jobs_fold_deaths(integer), jobs_forget_hours(timestamptz) FROM PUBLIC;

-- The letters that are there already.
INSERT INTO jobs_failuregroup (
    fingerprint, kind, error_class, message, deaths, open, first_seen_at, last_seen_at,
    acknowledged_by, note)
SELECT DISTINCT ON (fingerprint) fingerprint, kind, error_class, message,
    count(*) OVER cause, count(*) FILTER (WHERE state = 'open') OVER cause,
    min(died_at) OVER cause, max(died_at) OVER cause, '', ''
FROM jobs_failedjob WINDOW cause AS (PARTITION BY fingerprint)
ORDER BY fingerprint, died_at, id;
INSERT INTO jobs_failurehour (fingerprint, hour, deaths)
SELECT fingerprint, date_trunc('hour', died_at, 'UTC'), count(*) FROM jobs_failedjob GROUP BY 1, 2;
