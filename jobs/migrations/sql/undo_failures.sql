DROP TRIGGER failed_job_counted_1_new ON jobs_failedjob;
DROP TRIGGER failed_job_counted_2_moved ON jobs_failedjob;
DROP TRIGGER failed_job_counted_3_gone ON jobs_failedjob;
DROP FUNCTION jobs_forget_hours(timestamptz);
DROP FUNCTION jobs_fold_deaths(integer);
DROP FUNCTION jobs_count_deaths();
