-- Actions that began and had not ended at a moment: `value` all of them, `judged` those that are overdue only lately, so
-- that what a journal brings of yesterday begins no alert. One that began before the window is neither: nobody can tell
-- whether it will end, and the key has no value then.
WITH ends AS (SELECT unnest(generate_series($first, $last, $step)) AS ended),
x AS (
    SELECT
        epoch(coalesce(start_time, "timestamp")) AS began,
        CASE WHEN status <> 'pending' THEN epoch(event_time) END AS over, $keys, run_id
    FROM outcomes
    WHERE $where AND event_time >= to_timestamp($first - 2 * $window)
),
open AS (SELECT * FROM x WHERE over IS NULL OR over - began > $overdue),
counted AS (
    SELECT
        ended, tenant_id, agent_name, action_type, count(*) AS all_open,
        count(*) FILTER (WHERE began >= ended - $window) AS value,
        count(*) FILTER (WHERE began + $overdue > ended - $recent) AS judged,
        arg_max(run_id, began) AS run_id
    FROM ends JOIN open ON began + $overdue <= ended AND (over IS NULL OR over > ended)
    GROUP BY ended, tenant_id, agent_name, action_type
),
seen AS (SELECT tenant_id, agent_name, action_type, min(began) AS first_seen FROM x GROUP BY ALL)
SELECT
    ends.ended, seen.tenant_id, seen.agent_name, seen.action_type, coalesce(value, 0) AS value,
    coalesce(judged, 0) AS judged, coalesce(value, 0) AS actions, NULL AS before, run_id
FROM seen JOIN ends ON first_seen < ended
LEFT JOIN counted ON counted.ended = ends.ended AND counted.tenant_id IS NOT DISTINCT FROM seen.tenant_id
    AND counted.agent_name IS NOT DISTINCT FROM seen.agent_name
    AND counted.action_type IS NOT DISTINCT FROM seen.action_type
WHERE coalesce(value, 0) > 0 OR coalesce(all_open, 0) = 0
ORDER BY ends.ended
