-- Statements against fetches of sources, as in builds.sql.

-- fetch_kept: a fetch goes
DELETE FROM builds_fetch WHERE id = %(ready_fetch)s;
-- fetch_starts_queued: a fetch is born ready
INSERT INTO builds_fetch SELECT (jsonb_populate_record(f, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid))).*
  FROM builds_fetch f WHERE f.id = %(ready_fetch)s;
-- fetch_one_at_a_time: a second fetch of a project
INSERT INTO builds_fetch SELECT (jsonb_populate_record(f, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid))).*
  FROM builds_fetch f WHERE f.id = %(queued_fetch)s;
-- fetch_job_of_organization: a fetch is run by the job of a stranger
INSERT INTO builds_fetch SELECT (jsonb_populate_record(f, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(stranger_job)s::uuid,
    'project_id', %(deployed_project)s::uuid))).*
  FROM builds_fetch f WHERE f.id = %(queued_fetch)s;
-- fetch_project_of_organization: a fetch into the project of a stranger
INSERT INTO builds_fetch SELECT (jsonb_populate_record(f, jsonb_build_object(
    'id', %(new_build)s::uuid, 'job_id', %(new)s::uuid,
    'project_id', %(stranger_project)s::uuid))).*
  FROM builds_fetch f WHERE f.id = %(queued_fetch)s;
-- fetch_ends_once: an ended fetch has failed after all
UPDATE builds_fetch SET state = 'failed', error_code = 'X', source_id = NULL, commit = NULL
 WHERE id = %(ready_fetch)s;
-- fetch_facts_fixed: a fetch is of another address
UPDATE builds_fetch SET url = 'https://example.org/other' WHERE id = %(queued_fetch)s;
-- fetch_state_known: a fetch is paused
UPDATE builds_fetch SET state = 'paused', finished_at = now() WHERE id = %(queued_fetch)s;
-- fetch_source_of_ready: a fetch is ready and has brought nothing
UPDATE builds_fetch SET state = 'ready', finished_at = now() WHERE id = %(queued_fetch)s;
-- fetch_source_of_project: a fetch has brought the source of a stranger
UPDATE builds_fetch SET state = 'ready', finished_at = now(), commit = repeat('a', 40),
       source_id = %(stranger_source)s
 WHERE id = %(queued_fetch)s;
-- fetch_error_of_failed: a fetch has failed for no reason
UPDATE builds_fetch SET state = 'failed', finished_at = now() WHERE id = %(queued_fetch)s;
-- fetch_finished_at_once_ended: a fetch that goes on has ended
UPDATE builds_fetch SET finished_at = now() WHERE id = %(queued_fetch)s;
-- build_history_kept: the fetches are truncated
TRUNCATE builds_fetch;
