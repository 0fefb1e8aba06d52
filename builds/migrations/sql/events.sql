-- The event log of a build: written by the row that changes, numbered without gaps, never edited
-- (B-08). Triggers are ENABLE ALWAYS, so that the replica role does not skip them.

-- What had happened before there was a log is in the transitions.
INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data, at)
SELECT build_id, seq,
       CASE to_state WHEN 'queued' THEN 'build.created' WHEN 'building' THEN 'build.started'
            ELSE 'build.' || to_state END,
       to_state, actor, jsonb_strip_nulls(jsonb_build_object('from', from_state)), at
  FROM builds_buildtransition;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;

CREATE FUNCTION builds_public_id(prefix text, id uuid) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $body$
    SELECT prefix || '_' || replace(id::text, '-', '')
$body$;

CREATE FUNCTION builds_guard_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    v_state text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM builds_refuse('build_events_kept', format('%s refused', TG_OP));
    END IF;
    -- Depth 1 is a statement of a client; depth 2 is the trigger on the build.
    IF pg_trigger_depth() = 1 AND NEW.name IS DISTINCT FROM 'build.replayed' THEN
        PERFORM builds_refuse(
            'build_event_made_by_its_cause', format('%s is written by what it tells of', NEW.name));
    END IF;
    SELECT state INTO v_state FROM builds_build WHERE id = NEW.build_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM builds_refuse('build_event_of_a_build', 'there is no such build');
    END IF;
    -- A statement of its own: under the lock it sees what those who held it before have committed.
    SELECT coalesce(max(seq), 0) + 1 INTO NEW.seq
      FROM builds_buildevent WHERE build_id = NEW.build_id;
    NEW.state := v_state;
    NEW.at := clock_timestamp();
    RETURN NEW;
END
$body$;
CREATE TRIGGER build_event_guard BEFORE INSERT OR UPDATE OR DELETE ON builds_buildevent
    FOR EACH ROW EXECUTE FUNCTION builds_guard_event();
ALTER TABLE builds_buildevent ENABLE ALWAYS TRIGGER build_event_guard;

CREATE FUNCTION builds_write_events() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    v_moved boolean := TG_OP = 'INSERT' OR NEW.state IS DISTINCT FROM OLD.state;
    v_facts jsonb;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.cancel_requested_by IS DISTINCT FROM OLD.cancel_requested_by
       AND NEW.cancel_requested_by <> '' THEN
        INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
        VALUES (NEW.id, 0, 'build.cancel_requested', '', NEW.cancel_requested_by, '{}');
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.reservation_id IS DISTINCT FROM OLD.reservation_id THEN
        INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
        VALUES (NEW.id, 0, 'build.hold_renewed', '', 'worker', jsonb_build_object(
            'reservationId', builds_public_id('res', NEW.reservation_id),
            'replaced', builds_public_id('res', OLD.reservation_id)));
    END IF;
    IF TG_OP = 'UPDATE' AND NOT v_moved AND NEW.fence IS DISTINCT FROM OLD.fence THEN
        INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
        VALUES (NEW.id, 0, 'build.taken_over', '', 'worker',
                jsonb_build_object('fence', NEW.fence, 'replaced', OLD.fence));
    END IF;
    IF NOT v_moved THEN
        RETURN NULL;
    END IF;
    v_facts := CASE NEW.state
        WHEN 'queued' THEN jsonb_build_object(
            'sourceId', builds_public_id('src', NEW.source_id),
            'builder', NEW.builder,
            'estimatedCredits', NEW.estimated_credits,
            'reservationId', builds_public_id('res', NEW.reservation_id),
            'jobId', builds_public_id('job', NEW.job_id),
            'rebuildOf', builds_public_id('build', NEW.rebuild_of_id))
        WHEN 'building' THEN jsonb_build_object('fence', NEW.fence)
        WHEN 'deployed' THEN jsonb_build_object(
            'chargedCredits', NEW.charged_credits,
            'artifactSha256', NEW.artifact_sha256)
        WHEN 'failed' THEN jsonb_build_object('errorCode', NEW.error_code)
        ELSE jsonb_build_object('supersededBy', builds_public_id('build', NEW.superseded_by_id))
    END;
    INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
    VALUES (
        NEW.id, 0,
        CASE NEW.state WHEN 'queued' THEN 'build.created' WHEN 'building' THEN 'build.started'
             ELSE 'build.' || NEW.state END,
        '', NEW.moved_by,
        jsonb_strip_nulls(jsonb_build_object('from', NEW.previous_state) || v_facts));
    RETURN NULL;
END
$body$;
CREATE TRIGGER build_events_written AFTER INSERT OR UPDATE ON builds_build
    FOR EACH ROW EXECUTE FUNCTION builds_write_events();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_events_written;

CREATE FUNCTION builds_guard_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM builds_refuse('build_history_kept', format('TRUNCATE refused on %s', TG_TABLE_NAME));
    RETURN NULL;
END
$body$;
CREATE TRIGGER build_truncate_guard BEFORE TRUNCATE ON builds_build
    FOR EACH STATEMENT EXECUTE FUNCTION builds_guard_truncate();
CREATE TRIGGER build_transition_truncate_guard BEFORE TRUNCATE ON builds_buildtransition
    FOR EACH STATEMENT EXECUTE FUNCTION builds_guard_truncate();
CREATE TRIGGER build_event_truncate_guard BEFORE TRUNCATE ON builds_buildevent
    FOR EACH STATEMENT EXECUTE FUNCTION builds_guard_truncate();
ALTER TABLE builds_build ENABLE ALWAYS TRIGGER build_truncate_guard;
ALTER TABLE builds_buildtransition ENABLE ALWAYS TRIGGER build_transition_truncate_guard;
ALTER TABLE builds_buildevent ENABLE ALWAYS TRIGGER build_event_truncate_guard;
