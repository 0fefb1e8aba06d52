DROP TRIGGER jobs_redrive_1_guard ON jobs_redrive;
DROP FUNCTION jobs_guard_redrive();
