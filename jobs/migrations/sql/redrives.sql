-- The guards of redrives: what was asked for stays, counters and cursor only grow, and an end is one.
-- Moves are told by the row as it was, which no CHECK sees (ADR 0011). ENABLE ALWAYS, as all guards.

CREATE FUNCTION jobs_guard_redrive() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM jobs_refuse('redrive_kept', 'the record of a redrive is not deleted');
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('proposed', 'running') OR NEW.approved_by <> ''
            OR NEW.at_id IS NOT NULL OR NEW.returned > 0 OR cardinality(NEW.canary_jobs) > 0
            OR NEW.canary_sent_at IS NOT NULL OR NEW.canary_passed_at IS NOT NULL THEN
            PERFORM jobs_refuse('redrive_begins_at_its_beginning', 'nothing has been done yet');
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state NOT IN ('proposed', 'running') THEN
        PERFORM jobs_refuse('redrive_over_stays', 'an ended redrive stays as it is');
    END IF;
    IF (NEW.id, NEW.action, NEW.wanted, NEW.queue, NEW.bound_died_at, NEW.bound_id, NEW.size,
            NEW.rate_per_s, NEW.ramp_s, NEW.canary_size, NEW.canary_wait_s, NEW.returns_max,
            NEW.reason, NEW.requested_by, NEW.requested_at, NEW.is_approval_needed)
        IS DISTINCT FROM
        (OLD.id, OLD.action, OLD.wanted, OLD.queue, OLD.bound_died_at, OLD.bound_id, OLD.size,
            OLD.rate_per_s, OLD.ramp_s, OLD.canary_size, OLD.canary_wait_s, OLD.returns_max,
            OLD.reason, OLD.requested_by, OLD.requested_at, OLD.is_approval_needed) THEN
        PERFORM jobs_refuse('redrive_asked_for_stays', 'another wish is another redrive');
    END IF;
    IF NEW.state <> OLD.state AND NOT (CASE OLD.state
            WHEN 'proposed' THEN NEW.state IN ('running', 'aborted')
            ELSE NEW.state IN ('finished', 'stopped', 'aborted')
        END) THEN
        PERFORM jobs_refuse('redrive_move_legal', format('%s to %s', OLD.state, NEW.state));
    END IF;
    IF OLD.state = 'running' AND (NEW.job_id, NEW.started_at, NEW.approved_by)
        IS DISTINCT FROM (OLD.job_id, OLD.started_at, OLD.approved_by) THEN
        PERFORM jobs_refuse('redrive_starts_once', 'it has its job and its approval');
    END IF;
    IF OLD.state = 'proposed' AND NEW.at_id IS NOT NULL THEN
        PERFORM jobs_refuse('redrive_waits_for_approval', 'nothing is answered before');
    END IF;
    IF NEW.done < OLD.done OR NEW.refused < OLD.refused OR NEW.returned < OLD.returned
        OR cardinality(NEW.canary_jobs) < cardinality(OLD.canary_jobs) THEN
        PERFORM jobs_refuse('redrive_counts_only_grow', 'what was done is done');
    END IF;
    IF OLD.at_id IS NOT NULL AND (NEW.at_id IS NULL
            OR (NEW.at_died_at, NEW.at_id) < (OLD.at_died_at, OLD.at_id)) THEN
        PERFORM jobs_refuse('redrive_cursor_only_moves_on', 'no letter is looked at twice');
    END IF;
    IF (NEW.at_died_at, NEW.at_id) > (NEW.bound_died_at, NEW.bound_id) THEN
        PERFORM jobs_refuse('redrive_within_its_bound', 'what died later is no part of it');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER jobs_redrive_1_guard BEFORE INSERT OR UPDATE OR DELETE ON jobs_redrive
    FOR EACH ROW EXECUTE FUNCTION jobs_guard_redrive();
ALTER TABLE jobs_redrive ENABLE ALWAYS TRIGGER jobs_redrive_1_guard;
