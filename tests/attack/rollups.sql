-- Statements against the rollups of days, as in builds.sql.

-- build_day_duration_not_negative: builds took less than no time
UPDATE builds_buildday SET duration_s = -1;
-- build_day_histogram_complete: a histogram without its counts
UPDATE builds_buildday SET duration_buckets = '{1, 2, 3}';
