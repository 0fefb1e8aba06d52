DROP TRIGGER jobs_job_1_row ON jobs_job;
DROP TRIGGER jobs_job_2_move ON jobs_job;
DROP TRIGGER jobs_jobattempt_1_row ON jobs_jobattempt;
DROP FUNCTION jobs_guard_job(), jobs_guard_move(), jobs_guard_attempt(), jobs_refuse(text, text);
