DROP TRIGGER project_revision_counted ON builds_project;
DROP FUNCTION builds_count_revision();
DROP TRIGGER build_links_guard ON builds_build;
DROP FUNCTION builds_guard_links();
ALTER TABLE builds_build
    DROP CONSTRAINT build_superseded_by_of_project,
    DROP CONSTRAINT build_rebuild_of_project;
