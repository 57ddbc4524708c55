-- One row for each action and metric that says something: what of a whole success it lost, the score that is tested, and
-- which of the chosen values it has. Quality is that of actions that did not fail, or each failure would count twice; its
-- score is its rank, the middle one of equals, since means of skewed numbers have no tails that a table knows.
WITH itemised AS (
    SELECT * EXCLUDE (said),
        [item for item in [TRY_CAST(word AS gap_item) for word in said] if item IS NOT NULL] AS items
    FROM gap_actions
)
SELECT 'success' AS metric, failed AS loss, failed AS score, * FROM itemised
UNION ALL
SELECT 'quality' AS metric, 1 - quality AS loss,
    (rank() OVER (ORDER BY quality DESC) + count(*) OVER (PARTITION BY quality) / 2) / count(*) OVER () AS score, *
FROM itemised
WHERE quality IS NOT NULL AND failed = 0
