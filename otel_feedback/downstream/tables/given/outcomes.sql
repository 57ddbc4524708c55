-- How each action ended, and what was said of it afterwards: the mean over its raters, and how many there are. NULL and 0
-- where nothing was said, which tells nothing.
SELECT o.*, r.feedback_score, coalesce(r.feedback_count, 0) AS feedback_count
FROM outcomes_alone AS o
LEFT JOIN ratings AS r ON r.counts_for = o.event_id
