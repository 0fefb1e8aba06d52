DROP TRIGGER build_event_truncate_guard ON builds_buildevent;
DROP TRIGGER build_transition_truncate_guard ON builds_buildtransition;
DROP TRIGGER build_truncate_guard ON builds_build;
DROP FUNCTION builds_guard_truncate();
DROP TRIGGER build_events_written ON builds_build;
DROP FUNCTION builds_write_events();
DROP TRIGGER build_event_guard ON builds_buildevent;
DROP FUNCTION builds_guard_event();
DROP FUNCTION builds_public_id(text, uuid);
