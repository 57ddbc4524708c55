-- What was said of actions and runs afterwards, by each rater the newest; for which action it counts, and how long after its
-- end it was given: both NULL where that is not here.
WITH counted AS MATERIALIZED (FROM feedback_counted)
SELECT * EXCLUDE (whose, event_time, status) FROM counted
UNION ALL
SELECT f.*, NULL, NULL, NULL, NULL
FROM feedback_latest AS f
ANTI JOIN counted AS c ON f.feedback_id = c.feedback_id
