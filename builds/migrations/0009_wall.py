"""Row-level security of builds, and jobs that stay in their organization (P24, ADR 0015)."""

from __future__ import annotations

from django.db import migrations

from jobs.migrations._wall import wall

# Jobs are pruned and builds are kept, so no foreign key: a job that is there is the organization's.
# It runs as the owner, who sees the jobs of all.
GUARD = """
CREATE FUNCTION builds_guard_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF EXISTS (
        SELECT FROM jobs_job
         WHERE id = NEW.job_id AND organization_id IS DISTINCT FROM NEW.organization_id
    ) THEN
        PERFORM builds_refuse(TG_NAME, 'the job belongs to another organization');
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER build_job_of_organization BEFORE INSERT ON builds_build
    FOR EACH ROW EXECUTE FUNCTION builds_guard_job();
CREATE TRIGGER fetch_job_of_organization BEFORE INSERT ON builds_fetch
    FOR EACH ROW EXECUTE FUNCTION builds_guard_job();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_job_of_organization;
ALTER TABLE builds_fetch ENABLE ALWAYS TRIGGER fetch_job_of_organization;
"""
DROP_GUARD = """
DROP TRIGGER fetch_job_of_organization ON builds_fetch;
DROP TRIGGER build_job_of_organization ON builds_build;
DROP FUNCTION builds_guard_job();
"""

BUILD = "EXISTS (SELECT FROM builds_build WHERE builds_build.id = build_id)"


class Migration(migrations.Migration):
    dependencies = [
        ("builds", "0008_fetch_rules"),
        ("flagship", "0006_wall"),
        ("credits", "0006_wall"),
    ]

    operations = [
        *(
            wall(f"builds_{name}")
            for name in (
                *("project", "source", "build", "fetch"),
                *("buildday", "creditday", "userday"),
            )
        ),
        *(
            wall(f"builds_{name}", BUILD)
            for name in ("buildtransition", "buildevent", "buildlogline")
        ),
        migrations.RunSQL(GUARD, DROP_GUARD),
    ]
