-- Builds that name other builds of their project, and the revision of a project (B-01, B-03).

ALTER TABLE builds_build
    ADD CONSTRAINT build_rebuild_of_project
        FOREIGN KEY (project_id, rebuild_of_id) REFERENCES builds_build (project_id, id),
    -- The older build makes room before the newer one is there.
    ADD CONSTRAINT build_superseded_by_of_project
        FOREIGN KEY (project_id, superseded_by_id) REFERENCES builds_build (project_id, id)
        DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION builds_guard_links() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.rebuild_of_id IS DISTINCT FROM OLD.rebuild_of_id THEN
            PERFORM builds_refuse('build_facts_fixed', 'what it does again is not edited');
        END IF;
    ELSIF NEW.rebuild_of_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM builds_build AS original
         WHERE original.id = NEW.rebuild_of_id
           AND original.source_id = NEW.source_id
           AND original.state IN ('deployed', 'failed', 'cancelled')
    ) THEN
        PERFORM builds_refuse(
            'build_rebuild_of_ended', 'only a build that has ended is done again, from its source');
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER build_links_guard BEFORE INSERT OR UPDATE ON builds_build
    FOR EACH ROW EXECUTE FUNCTION builds_guard_links();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_links_guard;

CREATE FUNCTION builds_count_revision() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    -- Callers never write it: it counts the changes of the row.
    NEW.revision := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE OLD.revision + 1 END;
    RETURN NEW;
END
$body$;
CREATE TRIGGER project_revision_counted BEFORE INSERT OR UPDATE ON builds_project
    FOR EACH ROW EXECUTE FUNCTION builds_count_revision();
ALTER TABLE builds_project ENABLE ALWAYS TRIGGER project_revision_counted;
