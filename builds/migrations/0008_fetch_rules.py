"""What the database itself holds about fetches: tenants, and that they end once (B-05)."""

from __future__ import annotations

from django.db import migrations

TENANT_KEYS = """
ALTER TABLE builds_fetch
    ADD CONSTRAINT fetch_project_of_organization
        FOREIGN KEY (organization_id, project_id)
        REFERENCES builds_project (organization_id, id),
    ADD CONSTRAINT fetch_source_of_project
        FOREIGN KEY (organization_id, project_id, source_id)
        REFERENCES builds_source (organization_id, project_id, id);
"""

DROP_TENANT_KEYS = """
ALTER TABLE builds_fetch
    DROP CONSTRAINT fetch_source_of_project,
    DROP CONSTRAINT fetch_project_of_organization;
"""

GUARD = """
CREATE FUNCTION builds_guard_fetch() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM builds_refuse('fetch_kept', 'fetches are never deleted');
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state IS DISTINCT FROM 'queued' THEN
            PERFORM builds_refuse('fetch_starts_queued', format('not as %s', NEW.state));
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state IS DISTINCT FROM 'queued' AND NEW IS DISTINCT FROM OLD THEN
        PERFORM builds_refuse('fetch_ends_once', format('it is %s', OLD.state));
    END IF;
    IF (NEW.id, NEW.organization_id, NEW.project_id, NEW.url, NEW.ref, NEW.job_id,
        NEW.created_by, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.organization_id, OLD.project_id, OLD.url, OLD.ref, OLD.job_id,
        OLD.created_by, OLD.created_at)
    THEN
        PERFORM builds_refuse('fetch_facts_fixed', 'what was asked for is not edited');
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER fetch_guard BEFORE INSERT OR UPDATE OR DELETE ON builds_fetch
    FOR EACH ROW EXECUTE FUNCTION builds_guard_fetch();
CREATE TRIGGER fetch_truncate_guard BEFORE TRUNCATE ON builds_fetch
    FOR EACH STATEMENT EXECUTE FUNCTION builds_guard_truncate();
ALTER TABLE builds_fetch
    ENABLE ALWAYS TRIGGER fetch_guard,
    ENABLE ALWAYS TRIGGER fetch_truncate_guard;
"""

DROP_GUARD = """
DROP TRIGGER fetch_truncate_guard ON builds_fetch;
DROP TRIGGER fetch_guard ON builds_fetch;
DROP FUNCTION builds_guard_fetch();
"""


class Migration(migrations.Migration):
    dependencies = [("builds", "0007_fetches")]

    operations = [
        migrations.RunSQL(TENANT_KEYS, DROP_TENANT_KEYS),
        migrations.RunSQL(GUARD, DROP_GUARD),
    ]
