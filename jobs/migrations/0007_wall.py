"""Row-level security of jobs, and dead letters that stay in their organization (P24, ADR 0015)."""

from __future__ import annotations

from django.db import migrations

from jobs.migrations._wall import MINE, wall

# A foreign key of both columns would need another index on jobs_job, which every job would pay for.
GUARD = """
CREATE FUNCTION jobs_guard_letter() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.job_id IS NOT DISTINCT FROM OLD.job_id
       AND NEW.organization_id IS NOT DISTINCT FROM OLD.organization_id THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT FROM jobs_job
         WHERE id = NEW.job_id AND organization_id IS NOT DISTINCT FROM NEW.organization_id
    ) THEN
        PERFORM jobs_refuse(
            'failed_job_of_its_organization', 'a dead letter belongs to whom its job belongs');
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER failed_job_guard BEFORE INSERT OR UPDATE ON jobs_failedjob
    FOR EACH ROW EXECUTE FUNCTION jobs_guard_letter();
ALTER TABLE jobs_failedjob ENABLE ALWAYS TRIGGER failed_job_guard;
"""
DROP_GUARD = """
DROP TRIGGER failed_job_guard ON jobs_failedjob;
DROP FUNCTION jobs_guard_letter();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_guards")]

    operations = [
        wall("jobs_job"),
        wall("jobs_jobattempt", "EXISTS (SELECT FROM jobs_job WHERE jobs_job.id = job_id)"),
        wall("jobs_failedjob"),
        # What belongs to no organization is the platform's; the scope of a key says who reads it.
        wall("jobs_telemetryevent", f"organization_id = {MINE} OR organization_id IS NULL"),
        migrations.RunSQL(GUARD, DROP_GUARD),
    ]
