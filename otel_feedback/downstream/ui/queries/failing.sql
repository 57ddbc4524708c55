-- The failures and timeouts of `outcomes`, without comparing all records of all events: of those that failed the highest
-- revision, unless a higher one did not.
WITH bad AS (
    SELECT *
    FROM events
    WHERE status IN ('failure', 'timeout')
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1
),
mended AS (
    SELECT event_id, max(revision) AS revision
    FROM events
    WHERE status NOT IN ('failure', 'timeout') AND revision > (SELECT min(revision) FROM bad)
    GROUP BY event_id
)
SELECT bad.*
FROM bad LEFT JOIN mended ON bad.event_id = mended.event_id AND mended.revision > bad.revision
WHERE mended.event_id IS NULL
