"""What the database itself holds about builds: moves, slots, tenants (B-02, B-03).

Triggers are ENABLE ALWAYS, so that the replica role does not skip them. A refusal carries SQLSTATE
23514 and the name of the rule as its constraint.
"""

from __future__ import annotations

from django.db import migrations

TENANT_KEYS = """
ALTER TABLE builds_source
    ADD CONSTRAINT source_project_of_organization
        FOREIGN KEY (organization_id, project_id)
        REFERENCES builds_project (organization_id, id);
ALTER TABLE builds_build
    ADD CONSTRAINT build_project_of_organization
        FOREIGN KEY (organization_id, project_id)
        REFERENCES builds_project (organization_id, id),
    ADD CONSTRAINT build_source_of_project
        FOREIGN KEY (organization_id, project_id, source_id)
        REFERENCES builds_source (organization_id, project_id, id),
    ADD CONSTRAINT build_max_active_of_project
        FOREIGN KEY (project_id, max_active)
        REFERENCES builds_project (id, max_active) ON UPDATE CASCADE;
ALTER TABLE builds_project
    ADD CONSTRAINT project_live_build_of_project
        FOREIGN KEY (id, live_build_id)
        REFERENCES builds_build (project_id, id);
"""

DROP_TENANT_KEYS = """
ALTER TABLE builds_project DROP CONSTRAINT project_live_build_of_project;
ALTER TABLE builds_build
    DROP CONSTRAINT build_max_active_of_project,
    DROP CONSTRAINT build_source_of_project,
    DROP CONSTRAINT build_project_of_organization;
ALTER TABLE builds_source DROP CONSTRAINT source_project_of_organization;
"""

BUILD_GUARD = """
CREATE FUNCTION builds_refuse(rule text, detail text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION '%: %', rule, detail USING ERRCODE = '23514', CONSTRAINT = rule;
END
$body$;

CREATE FUNCTION builds_guard_build() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    unchanged builds_build;
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM builds_refuse('build_kept', 'builds are never deleted');
    END IF;
    IF TG_OP = 'INSERT' OR NEW.reservation_id IS DISTINCT FROM OLD.reservation_id THEN
        IF NOT EXISTS (
            SELECT FROM credits_reservation AS reservation
              JOIN credits_account AS account ON account.id = reservation.account_id
             WHERE reservation.id = NEW.reservation_id
               AND account.organization_id = NEW.organization_id
               AND reservation.subject_type = 'build'
               AND reservation.subject_id = 'build_' || replace(NEW.id::text, '-', '')
        ) THEN
            PERFORM builds_refuse('build_reservation_is_its_own', 'the hold is for another');
        END IF;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state IS DISTINCT FROM 'queued' THEN
            PERFORM builds_refuse('build_starts_queued', format('not as %s', NEW.state));
        END IF;
        NEW.previous_state := NULL;
        RETURN NEW;
    END IF;

    IF (NEW.id, NEW.organization_id, NEW.project_id, NEW.source_id, NEW.builder, NEW.options,
        NEW.job_id, NEW.estimated_credits, NEW.created_by, NEW.idempotency_key_hash,
        NEW.request_id, NEW.correlation_id, NEW.queued_at)
       IS DISTINCT FROM
       (OLD.id, OLD.organization_id, OLD.project_id, OLD.source_id, OLD.builder, OLD.options,
        OLD.job_id, OLD.estimated_credits, OLD.created_by, OLD.idempotency_key_hash,
        OLD.request_id, OLD.correlation_id, OLD.queued_at)
    THEN
        PERFORM builds_refuse('build_facts_fixed', 'what was submitted is not edited');
    END IF;

    -- Callers never write previous_state: it is what the row was.
    NEW.previous_state := OLD.previous_state;
    IF NEW.state IS NOT DISTINCT FROM OLD.state THEN
        -- max_active follows the project, also in builds that have ended.
        unchanged := OLD;
        unchanged.max_active := NEW.max_active;
        IF OLD.state NOT IN ('queued', 'building') AND NEW IS DISTINCT FROM unchanged THEN
            PERFORM builds_refuse('build_final_is_frozen', format('it is %s', OLD.state));
        END IF;
        IF NEW.fence < OLD.fence THEN
            PERFORM builds_refuse('build_fence_grows', 'an older run does not take over');
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state IS NULL OR (OLD.state, NEW.state) NOT IN (
        ('queued', 'building'), ('queued', 'cancelled'), ('queued', 'failed'),
        ('building', 'deployed'), ('building', 'failed'), ('building', 'cancelled')
    ) THEN
        PERFORM builds_refuse('build_move_allowed', format('%s to %s', OLD.state, NEW.state));
    END IF;
    NEW.previous_state := OLD.state;
    RETURN NEW;
END
$body$;

CREATE TRIGGER build_guard BEFORE INSERT OR UPDATE OR DELETE ON builds_build
    FOR EACH ROW EXECUTE FUNCTION builds_guard_build();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_guard;
"""

DROP_BUILD_GUARD = """
DROP TRIGGER build_guard ON builds_build;
DROP FUNCTION builds_guard_build();
DROP FUNCTION builds_refuse(text, text);
"""

TRANSITIONS = """
CREATE FUNCTION builds_write_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state IS NOT DISTINCT FROM OLD.state THEN
        RETURN NULL;
    END IF;
    INSERT INTO builds_buildtransition (build_id, seq, from_state, to_state, actor, fence, at)
    SELECT NEW.id, coalesce(max(seq), 0) + 1, NEW.previous_state, NEW.state, NEW.moved_by,
           coalesce(NEW.fence, CASE WHEN TG_OP = 'UPDATE' THEN OLD.fence END), clock_timestamp()
      FROM builds_buildtransition WHERE build_id = NEW.id;
    RETURN NULL;
END
$body$;
CREATE TRIGGER build_transition_written AFTER INSERT OR UPDATE ON builds_build
    FOR EACH ROW EXECUTE FUNCTION builds_write_transition();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_transition_written;

CREATE FUNCTION builds_guard_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    -- Depth 1 is a statement of a client; depth 2 is the trigger above.
    IF TG_OP = 'INSERT' AND pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;
    PERFORM builds_refuse('build_history_kept', format('%s refused on %s', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END
$body$;
CREATE TRIGGER build_transition_guard BEFORE INSERT OR UPDATE OR DELETE ON builds_buildtransition
    FOR EACH ROW EXECUTE FUNCTION builds_guard_history();
CREATE TRIGGER build_log_line_guard BEFORE UPDATE ON builds_buildlogline
    FOR EACH ROW EXECUTE FUNCTION builds_guard_history();
CREATE TRIGGER source_guard BEFORE UPDATE OR DELETE ON builds_source
    FOR EACH ROW EXECUTE FUNCTION builds_guard_history();
ALTER TABLE builds_buildtransition ENABLE ALWAYS TRIGGER build_transition_guard;
ALTER TABLE builds_buildlogline ENABLE ALWAYS TRIGGER build_log_line_guard;
ALTER TABLE builds_source ENABLE ALWAYS TRIGGER source_guard;
"""

DROP_TRANSITIONS = """
DROP TRIGGER source_guard ON builds_source;
DROP TRIGGER build_log_line_guard ON builds_buildlogline;
DROP TRIGGER build_transition_guard ON builds_buildtransition;
DROP FUNCTION builds_guard_history();
DROP TRIGGER build_transition_written ON builds_build;
DROP FUNCTION builds_write_transition();
"""

PROJECT_GUARD = """
CREATE FUNCTION builds_guard_project() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND
       (NEW.id, NEW.organization_id, NEW.slug, NEW.site_name, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.organization_id, OLD.slug, OLD.site_name, OLD.created_at)
    THEN
        PERFORM builds_refuse('project_facts_fixed', 'a project keeps its owner and address');
    END IF;
    -- A deployed build stays deployed, so what holds here holds from then on.
    IF NEW.live_build_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM builds_build
         WHERE id = NEW.live_build_id AND project_id = NEW.id AND state = 'deployed'
    ) THEN
        PERFORM builds_refuse('project_live_build_deployed', 'only a deployed build is live');
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER project_guard BEFORE INSERT OR UPDATE ON builds_project
    FOR EACH ROW EXECUTE FUNCTION builds_guard_project();
ALTER TABLE builds_project ENABLE ALWAYS TRIGGER project_guard;
"""

DROP_PROJECT_GUARD = """
DROP TRIGGER project_guard ON builds_project;
DROP FUNCTION builds_guard_project();
"""


class Migration(migrations.Migration):
    dependencies = [("builds", "0001_initial"), ("credits", "0002_ledger")]

    operations = [
        migrations.RunSQL(TENANT_KEYS, DROP_TENANT_KEYS),
        migrations.RunSQL(BUILD_GUARD, DROP_BUILD_GUARD),
        migrations.RunSQL(TRANSITIONS, DROP_TRANSITIONS),
        migrations.RunSQL(PROJECT_GUARD, DROP_PROJECT_GUARD),
    ]
