DROP TRIGGER build_limit_dropped ON builds_build;
DROP FUNCTION builds_drop_limit();
UPDATE builds_build AS build SET max_active = project.max_active
  FROM builds_project AS project
 WHERE project.id = build.project_id AND build.max_active IS NULL;
