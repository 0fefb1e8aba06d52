-- A build that has ended carries no limit: the cascade from its project does not reach it (B-03).

CREATE FUNCTION builds_drop_limit() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    -- Callers need not write it, as they need not write previous_state.
    IF NEW.state NOT IN ('queued', 'building') THEN
        NEW.max_active := NULL;
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER build_limit_dropped BEFORE UPDATE ON builds_build
    FOR EACH ROW EXECUTE FUNCTION builds_drop_limit();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_limit_dropped;

UPDATE builds_build SET max_active = NULL WHERE state NOT IN ('queued', 'building');
