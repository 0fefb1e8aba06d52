-- The guards of jobs and attempts: what a row may be, and what may become of it.
-- One trigger instead of twenty CHECK constraints, for two reasons (ADR 0011): it sees the row as
-- it was, so that illegal moves are refused, not only illegal rows; and it costs 10 us a row where
-- the CHECKs cost 190, since PostgreSQL parses each of them anew for every statement.
-- They fire ALWAYS, so under session_replication_role = replica too, and refuse by name.

CREATE FUNCTION jobs_refuse(p_constraint text, p_message text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation', CONSTRAINT = p_constraint,
        MESSAGE = format('%s: %s', p_constraint, p_message);
END $$;

-- Each guard asks first, in one expression, whether all is well: plpgsql prepares every expression
-- anew for every transaction. Only a row that is to be refused is looked at rule by rule.

CREATE FUNCTION jobs_guard_job() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    waits boolean;
    runs boolean;
    ended boolean;
BEGIN
    IF (CASE NEW.state
            WHEN 'queued' THEN NEW.next_attempt_at IS NOT NULL AND NEW.published_at IS NOT NULL
                AND NEW.lease_until IS NULL AND NEW.lease_owner = '' AND NEW.finished_at IS NULL
                AND NEW.result IS NULL AND NEW.cancel_requested_at IS NULL
            WHEN 'succeeded' THEN NEW.finished_at IS NOT NULL AND NEW.next_attempt_at IS NULL
                AND NEW.published_at IS NULL AND NEW.lease_until IS NULL AND NEW.lease_owner = ''
            WHEN 'running' THEN NEW.lease_until IS NOT NULL AND NEW.lease_owner <> ''
                AND NEW.next_attempt_at IS NULL AND NEW.published_at IS NULL
                AND NEW.finished_at IS NULL AND NEW.result IS NULL
            ELSE false
        END)
        AND NEW.failures >= 0 AND NEW.crashes >= 0 AND NEW.losses >= 0 AND NEW.delivery_no >= 0
        AND NEW.attempts >= NEW.failures AND NEW.lease_token >= NEW.attempts
        AND (NEW.attempts > 0) = (NEW.started_at IS NOT NULL)
        AND NEW.failures <= cardinality(NEW.backoff_s) + 1 AND NEW.timeout_s > 0 THEN
        RETURN NEW;
    END IF;
    waits := NEW.state IN ('pending', 'queued', 'retry_wait');
    runs := NEW.state = 'running';
    ended := NEW.state IN ('succeeded', 'dead', 'cancelled');
    IF NOT (waits OR runs OR ended) THEN
        PERFORM jobs_refuse('job_state_known', 'there is no such state');
    END IF;
    IF (NEW.next_attempt_at IS NOT NULL) <> waits THEN
        PERFORM jobs_refuse('job_next_attempt_at_while_waiting', 'set while it waits');
    END IF;
    IF (NEW.published_at IS NOT NULL) <> (NEW.state = 'queued') THEN
        PERFORM jobs_refuse('job_published_at_in_queued', 'set in queued');
    END IF;
    IF (NEW.lease_until IS NOT NULL) <> runs THEN
        PERFORM jobs_refuse('job_lease_while_running', 'set while it runs');
    END IF;
    IF (NEW.lease_owner <> '') <> runs THEN
        PERFORM jobs_refuse('job_lease_owner_while_running', 'set while it runs');
    END IF;
    IF (NEW.finished_at IS NOT NULL) <> ended THEN
        PERFORM jobs_refuse('job_finished_at_in_final_states', 'set once it has ended');
    END IF;
    IF NEW.result IS NOT NULL AND NEW.state <> 'succeeded' THEN
        PERFORM jobs_refuse('job_result_only_of_succeeded', 'only success has a result');
    END IF;
    IF NEW.cancel_requested_at IS NOT NULL
        AND NEW.state NOT IN ('running', 'succeeded', 'cancelled') THEN
        PERFORM jobs_refuse('job_cancel_requested_only_of_running', 'it does not run');
    END IF;
    IF NEW.timeout_s <= 0 THEN
        PERFORM jobs_refuse('job_timeout_positive', 'seconds, more than zero');
    END IF;
    IF least(NEW.attempts, NEW.failures, NEW.crashes, NEW.losses, NEW.delivery_no) < 0 THEN
        PERFORM jobs_refuse('job_counts_not_negative', 'counted from zero');
    END IF;
    IF NEW.failures > NEW.attempts THEN
        PERFORM jobs_refuse('job_failures_within_attempts', 'more failures than runs');
    END IF;
    IF NEW.failures > cardinality(NEW.backoff_s) + 1 THEN
        PERFORM jobs_refuse('job_failures_within_budget', 'more failures than allowed');
    END IF;
    IF NEW.lease_token < NEW.attempts THEN
        PERFORM jobs_refuse('job_fence_grows_with_attempts', 'a run without a fence');
    END IF;
    IF (NEW.attempts > 0) <> (NEW.started_at IS NOT NULL) THEN
        PERFORM jobs_refuse('job_started_at_after_first_run', 'set by the first run');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION jobs_guard_move() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    legal boolean;
BEGIN
    IF NEW.lease_token > OLD.lease_token AND NEW.attempts > OLD.attempts
        AND OLD.state IN ('pending', 'queued', 'retry_wait')
        AND NEW.state IN ('running', 'succeeded') THEN
        RETURN NEW;
    END IF;
    IF NEW.lease_token < OLD.lease_token OR NEW.attempts < OLD.attempts THEN
        PERFORM jobs_refuse('job_fence_only_grows', 'the fence and the runs only grow');
    END IF;
    IF NEW.state = OLD.state THEN
        RETURN NEW;
    END IF;
    IF NEW.state = 'running' AND NEW.lease_token = OLD.lease_token THEN
        PERFORM jobs_refuse('job_fence_only_grows', 'a run needs a fence of its own');
    END IF;
    legal := CASE OLD.state
        WHEN 'pending' THEN NEW.state IN ('queued', 'running', 'succeeded', 'cancelled')
        WHEN 'queued' THEN NEW.state IN ('pending', 'running', 'succeeded', 'cancelled')
        WHEN 'retry_wait' THEN NEW.state IN ('queued', 'running', 'succeeded', 'cancelled')
        WHEN 'running' THEN NEW.state IN ('pending', 'retry_wait', 'succeeded', 'dead', 'cancelled')
        WHEN 'dead' THEN NEW.state = 'pending'
        ELSE false
    END;
    IF NOT legal THEN
        PERFORM jobs_refuse('job_move_legal', format('%s to %s', OLD.state, NEW.state));
    END IF;
    IF NEW.state = 'succeeded' AND OLD.state <> 'running' AND NEW.attempts = OLD.attempts THEN
        PERFORM jobs_refuse('job_move_legal', 'success without a run');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION jobs_guard_attempt() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.number > 0 AND NEW.token > 0 AND (CASE NEW.outcome
            WHEN 'running' THEN NEW.ended_at IS NULL
            WHEN 'succeeded' THEN NEW.ended_at IS NOT NULL
            ELSE false
        END) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.outcome <> 'running' THEN
        PERFORM jobs_refuse('job_attempt_closed_once', 'an attempt is never overwritten');
    END IF;
    IF NEW.number < 1 OR NEW.token < 1 THEN
        PERFORM jobs_refuse('job_attempt_counts_from_one', 'runs are counted from one');
    END IF;
    IF NEW.outcome NOT IN ('running', 'succeeded', 'failed', 'lost', 'handed_back', 'snoozed',
        'throttled', 'cancelled') THEN
        PERFORM jobs_refuse('job_attempt_outcome_known', 'there is no such outcome');
    END IF;
    IF (NEW.ended_at IS NOT NULL) <> (NEW.outcome <> 'running') THEN
        PERFORM jobs_refuse('job_attempt_ended_at_when_closed', 'set when it is closed');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER jobs_job_1_row BEFORE INSERT OR UPDATE ON jobs_job
    FOR EACH ROW EXECUTE FUNCTION jobs_guard_job();
CREATE TRIGGER jobs_job_2_move BEFORE UPDATE ON jobs_job
    FOR EACH ROW EXECUTE FUNCTION jobs_guard_move();
CREATE TRIGGER jobs_jobattempt_1_row BEFORE INSERT OR UPDATE ON jobs_jobattempt
    FOR EACH ROW EXECUTE FUNCTION jobs_guard_attempt();
ALTER TABLE jobs_job ENABLE ALWAYS TRIGGER jobs_job_1_row, ENABLE ALWAYS TRIGGER jobs_job_2_move;
ALTER TABLE jobs_jobattempt ENABLE ALWAYS TRIGGER jobs_jobattempt_1_row;
