-- Statements against builds, one transaction each. The line before says which guard must refuse it,
-- after ">" the guard behind it that the statement is about as well, after "without" the triggers
-- that have to go before anything refuses it. %(queued)s and the like are names of world.py.

-- build_kept: a build is deleted
DELETE FROM builds_build WHERE id = %(failed)s;
-- build_kept: a build is deleted by MERGE
MERGE INTO builds_build t USING (SELECT 1) s ON t.id = %(failed)s WHEN MATCHED THEN DELETE;
-- build_kept: every build is deleted at once
WITH gone AS (DELETE FROM builds_build RETURNING *) SELECT * FROM gone;
-- build_history_kept: all builds are truncated with what hangs on them
TRUNCATE builds_build CASCADE;
-- build_history_kept: the transitions are truncated
TRUNCATE builds_buildtransition;
-- build_history_kept: the events are truncated
TRUNCATE builds_buildevent;

-- build_starts_queued: a build is born deployed
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid))).*
  FROM builds_build b WHERE b.id = %(deployed)s;
-- build_reservation_is_its_own: a build is born on the hold of another
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(held)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_reservation_is_its_own: a build goes over to the hold of another
UPDATE builds_build SET reservation_id = %(new_hold)s WHERE id = %(queued)s;
-- build_one_active_per_slot: a second active build in the same slot
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_slot_below_max_active: a second active build in a slot that the project does not allow
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object('slot', 1,
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_max_active_of_project: a second active build brings its own limit
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object('slot', 1,
    'max_active', 2, 'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid,
    'reservation_id', %(new_hold)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_job_of_organization: a build is run by the job of a stranger
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(stranger_job)s::uuid,
    'reservation_id', %(new_hold)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_project_of_organization: a build in the project of a stranger
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid,
    'project_id', %(stranger_project)s::uuid, 'source_id', %(stranger_source)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_source_of_project: a build from a source of a stranger
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid,
    'project_id', %(empty_project)s::uuid, 'source_id', %(stranger_source)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_rebuild_of_ended: a rebuild of a build that is still waiting
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid,
    'rebuild_of_id', b.id))).*
  FROM builds_build b WHERE b.id = %(queued)s;
-- build_rebuild_of_ended: a rebuild of another source
INSERT INTO builds_build SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid, 'reservation_id', %(new_hold)s::uuid,
    'rebuild_of_id', %(deployed)s::uuid))).*
  FROM builds_build b WHERE b.id = %(queued)s;

-- build_facts_fixed: another organization takes a build
UPDATE builds_build SET organization_id = %(stranger)s WHERE id = %(building)s;
-- build_facts_fixed: a build changes its project
UPDATE builds_build SET project_id = %(empty_project)s WHERE id = %(building)s;
-- build_facts_fixed: a build changes its source
UPDATE builds_build SET source_id = %(stranger_source)s WHERE id = %(queued)s;
-- build_facts_fixed: a build changes its number
UPDATE builds_build SET id = %(new_build)s WHERE id = %(building)s;
-- build_facts_fixed: a build changes its job
UPDATE builds_build SET job_id = %(new)s WHERE id = %(building)s;
-- build_facts_fixed: a build changes its options
UPDATE builds_build SET options = '{"planted": 1}' WHERE id = %(queued)s;
-- build_facts_fixed: a build gets cheaper
UPDATE builds_build SET estimated_credits = 1000000 WHERE id = %(queued)s;
-- build_facts_fixed > build_estimate_positive: a build costs nothing
UPDATE builds_build SET estimated_credits = 0 WHERE id = %(queued)s;
-- build_facts_fixed > builds_build_estimated_credits_check: a build costs less than nothing
UPDATE builds_build SET estimated_credits = -1 WHERE id = %(queued)s;
-- build_facts_fixed: a build was another's wish
UPDATE builds_build SET created_by = 'another' WHERE id = %(deployed)s;
-- build_facts_fixed: a build was asked for earlier
UPDATE builds_build SET queued_at = queued_at - interval '1 day' WHERE id = %(queued)s;
-- build_facts_fixed: a used key is free again
UPDATE builds_build SET idempotency_key_hash = repeat('0', 64) WHERE id = %(queued)s;
-- build_facts_fixed: a build becomes the rebuild of another
UPDATE builds_build SET rebuild_of_id = %(deployed)s WHERE id = %(queued)s;
-- build_facts_fixed > build_rebuild_of_another: a build becomes the rebuild of itself
UPDATE builds_build SET rebuild_of_id = id WHERE id = %(queued)s;

-- build_move_allowed > build_move_legal: a waiting build is deployed without being built
UPDATE builds_build SET state = 'deployed', moved_by = 'x', slot = NULL, finished_at = now(),
       artifact_sha256 = repeat('a', 64), artifact_bytes = 1, artifact_files = 1,
       charged_credits = 0
 WHERE id = %(queued)s;
-- build_move_allowed: a deployed build waits again
UPDATE builds_build SET state = 'queued', moved_by = 'x', slot = 0, max_active = 1,
       finished_at = NULL, started_at = NULL, artifact_sha256 = NULL, artifact_bytes = NULL,
       artifact_files = NULL, charged_credits = NULL
 WHERE id = %(deployed)s;
-- build_move_allowed: a cancelled build is failed after all, by MERGE
MERGE INTO builds_build t USING (SELECT 1) s ON t.id = %(cancelled)s
 WHEN MATCHED THEN UPDATE SET state = 'failed', error_code = 'X', moved_by = 'x';
-- build_move_allowed: a failed build is deployed after all, by an upsert
INSERT INTO builds_build SELECT b.* FROM builds_build b WHERE b.id = %(queued)s
    ON CONFLICT (id) DO UPDATE SET state = 'deployed', moved_by = 'x';
-- build_move_allowed > build_state_known: a state that there is not
UPDATE builds_build SET state = 'paused', moved_by = 'x', slot = NULL, fence = NULL
 WHERE id = %(building)s;
-- build_move_allowed: no state at all
UPDATE builds_build SET state = NULL WHERE id = %(building)s;

-- build_final_is_frozen > build_artifact_bytes_deployed: a deployed build has no size
UPDATE builds_build SET artifact_bytes = NULL WHERE id = %(deployed)s;
-- build_final_is_frozen > build_artifact_files_deployed: a deployed build has no files
UPDATE builds_build SET artifact_files = NULL WHERE id = %(deployed)s;
-- build_final_is_frozen > build_artifact_sha256_deployed: a deployed build has no sum
UPDATE builds_build SET artifact_sha256 = NULL WHERE id = %(deployed)s;
-- build_final_is_frozen > build_charged_credits_deployed: a deployed build was charged nothing known
UPDATE builds_build SET charged_credits = NULL WHERE id = %(deployed)s;
-- build_final_is_frozen: a deployed build was charged less
UPDATE builds_build SET charged_credits = 0 WHERE id = %(deployed)s;
-- build_final_is_frozen > builds_build_charged_credits_check: a deployed build was paid for
UPDATE builds_build SET charged_credits = -1 WHERE id = %(deployed)s;
-- build_final_is_frozen > builds_build_artifact_bytes_check: a size below nothing
UPDATE builds_build SET artifact_bytes = -1 WHERE id = %(deployed)s;
-- build_final_is_frozen > builds_build_artifact_files_check: fewer files than none
UPDATE builds_build SET artifact_files = -1 WHERE id = %(deployed)s;
-- build_final_is_frozen > build_error_of_failed: a failed build has no error
UPDATE builds_build SET error_code = NULL WHERE id = %(failed)s;
-- build_final_is_frozen: a failed build failed otherwise
UPDATE builds_build SET error_code = 'OTHER' WHERE id = %(failed)s;
-- build_final_is_frozen: an ended build ends again
UPDATE builds_build SET finished_at = now() WHERE id = %(cancelled)s;
-- build_artifact_sha256_deployed: a running build has made something
UPDATE builds_build SET artifact_sha256 = repeat('a', 64) WHERE id = %(building)s;
-- build_charged_credits_deployed: a running build is charged for
UPDATE builds_build SET charged_credits = 1 WHERE id = %(building)s;
-- build_error_of_failed: a running build has an error
UPDATE builds_build SET error_code = 'BUILD_FAILED' WHERE id = %(building)s;
-- build_finished_at_in_final_states: a running build has ended
UPDATE builds_build SET finished_at = now() WHERE id = %(building)s;
-- build_started_at_once_building: a running build never started
UPDATE builds_build SET started_at = NULL WHERE id = %(building)s;
-- build_started_at_once_building: a waiting build has started
UPDATE builds_build SET started_at = now() WHERE id = %(queued)s;
-- build_fence_while_building: a running build has no fence
UPDATE builds_build SET fence = NULL WHERE id = %(building)s;
-- build_fence_while_building: a waiting build has a fence
UPDATE builds_build SET fence = 1 WHERE id = %(queued)s;
-- build_fence_grows > builds_build_fence_check: an older run takes over
UPDATE builds_build SET fence = -1 WHERE id = %(building)s;
-- build_mover_named: nobody moved it
UPDATE builds_build SET moved_by = '' WHERE id = %(building)s;

-- build_slot_while_active: a running build gives its slot away
UPDATE builds_build SET slot = NULL WHERE id = %(building)s;
-- build_slot_below_max_active: a slot beyond the limit
UPDATE builds_build SET slot = 7 WHERE id = %(building)s;
-- build_slot_below_max_active: a slot below the first
UPDATE builds_build SET slot = -1 WHERE id = %(queued)s;
-- build_max_active_while_active: a running build without a limit
UPDATE builds_build SET max_active = NULL WHERE id = %(building)s;
-- build_max_active_of_project: a limit of its own
UPDATE builds_build SET max_active = 20 WHERE id = %(building)s;
-- build_slot_below_max_active > builds_build_max_active_check: a limit below nothing
UPDATE builds_build SET max_active = -1 WHERE id = %(building)s;
-- build_superseded_while_waiting: a running build makes room for another
UPDATE builds_build SET superseded_by_id = id WHERE id = %(building)s;
-- build_final_is_frozen: a cancelled build made room for another
UPDATE builds_build SET superseded_by_id = %(deployed)s WHERE id = %(cancelled)s;

-- build_history_kept: a transition that never was
INSERT INTO builds_buildtransition (build_id, seq, to_state, actor) VALUES (%(queued)s, 2, 'failed', 'x');
-- build_history_kept: a transition goes
DELETE FROM builds_buildtransition WHERE build_id = %(deployed)s;
-- build_history_kept: a transition led elsewhere
UPDATE builds_buildtransition SET to_state = 'failed' WHERE build_id = %(deployed)s;
-- build_history_kept > build_transition_seq_from_1: a transition before the first
UPDATE builds_buildtransition SET seq = 0 WHERE build_id = %(queued)s;
-- build_history_kept > builds_buildtransition_seq_check: a transition long before the first
UPDATE builds_buildtransition SET seq = -1 WHERE build_id = %(queued)s;
-- build_history_kept > builds_buildtransition_fence_check: a transition under no fence that was
UPDATE builds_buildtransition SET fence = -1 WHERE build_id = %(deployed)s;

-- build_event_made_by_its_cause: an event that never was
INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
VALUES (%(queued)s, 9, 'build.deployed', 'deployed', 'x', '{}');
-- build_event_of_a_build: a replay of a build that there is not
INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
VALUES (%(new_build)s, 9, 'build.replayed', '', 'x', '{}');
-- build_event_actor_named: a replay by nobody
INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)
VALUES (%(deployed)s, 9, 'build.replayed', '', '', '{}');
-- build_events_kept: an event goes
DELETE FROM builds_buildevent WHERE build_id = %(deployed)s;
-- build_events_kept: an event tells otherwise
UPDATE builds_buildevent SET data = '{"planted": 1}' WHERE build_id = %(deployed)s;
-- build_events_kept > build_event_known: an event without a meaning
UPDATE builds_buildevent SET name = 'build.imagined' WHERE build_id = %(queued)s;
-- build_events_kept > build_event_seq_from_1: an event before the first
UPDATE builds_buildevent SET seq = 0 WHERE build_id = %(queued)s;
-- build_events_kept > builds_buildevent_seq_check: an event long before the first
UPDATE builds_buildevent SET seq = -1 WHERE build_id = %(queued)s;

-- build_log_line_seq_from_1: a line before the first
INSERT INTO builds_buildlogline (build_id, seq, stream, text) VALUES (%(building)s, 0, 'stdout', 'x');
-- build_log_line_seq_from_1 > builds_buildlogline_seq_check: a line long before the first
INSERT INTO builds_buildlogline (build_id, seq, stream, text) VALUES (%(building)s, -1, 'stdout', 'x');
-- build_log_line_stream_known: a line of no stream
INSERT INTO builds_buildlogline (build_id, seq, stream, text) VALUES (%(building)s, 9, 'stdin', 'x');
-- build_log_line_unique: a line twice
INSERT INTO builds_buildlogline (build_id, seq, stream, text) VALUES (%(building)s, 1, 'stdout', 'x');
-- build_history_kept: a line says something else
UPDATE builds_buildlogline SET text = 'x' WHERE build_id = %(building)s;

-- build_history_kept: a source is exchanged
UPDATE builds_source SET sha256 = repeat('b', 64) WHERE id = %(source)s;
-- build_history_kept: a source goes
DELETE FROM builds_source WHERE id = %(source)s;
-- source_sha256_well_formed: a source without a sum
INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,
    unpacked_bytes, file_count)
VALUES (%(new)s, %(organization)s, %(empty_project)s, 'x', 'zip', 1, 1, 1);
-- builds_source_size_bytes_check: a source smaller than nothing
INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,
    unpacked_bytes, file_count)
VALUES (%(new)s, %(organization)s, %(empty_project)s, repeat('c', 64), 'zip', -1, 1, 1);
-- builds_source_unpacked_bytes_check: a source that unpacks to less than nothing
INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,
    unpacked_bytes, file_count)
VALUES (%(new)s, %(organization)s, %(empty_project)s, repeat('c', 64), 'zip', 1, -1, 1);
-- builds_source_file_count_check: a source of fewer files than none
INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,
    unpacked_bytes, file_count)
VALUES (%(new)s, %(organization)s, %(empty_project)s, repeat('c', 64), 'zip', 1, 1, -1);
-- source_project_of_organization: a source in the project of a stranger
INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,
    unpacked_bytes, file_count)
VALUES (%(new)s, %(organization)s, %(stranger_project)s, repeat('c', 64), 'zip', 1, 1, 1);

-- project_facts_fixed: another organization takes a project
UPDATE builds_project SET organization_id = %(stranger)s WHERE id = %(empty_project)s;
-- project_facts_fixed > project_slug_well_formed: a project gets an address that is none
UPDATE builds_project SET slug = 'Not An Address' WHERE id = %(empty_project)s;
-- project_facts_fixed: a project takes the site of another
UPDATE builds_project SET site_name = 'x' WHERE id = %(empty_project)s;
-- project_name_present: a project without a name
UPDATE builds_project SET name = '' WHERE id = %(empty_project)s;
-- project_max_active_in_range: a project that allows nothing
UPDATE builds_project SET max_active = 0 WHERE id = %(empty_project)s;
-- builds_project_max_active_check > project_max_active_in_range: a project that allows less
UPDATE builds_project SET max_active = -1 WHERE id = %(empty_project)s;
-- project_max_active_in_range: a project that allows anything
UPDATE builds_project SET max_active = 21 WHERE id = %(empty_project)s;
-- builds_project_revision_check without project_revision_counted: a project before its first change
UPDATE builds_project SET revision = -1 WHERE id = %(empty_project)s;
-- project_live_build_deployed: a failed build is live
UPDATE builds_project SET live_build_id = %(failed)s WHERE id = %(failed_project)s;
-- project_live_build_deployed: the build of another project is live
UPDATE builds_project SET live_build_id = %(deployed)s WHERE id = %(empty_project)s;
