-- What is told of the pipeline, counted in windows: losses, dead letters. A window has a value, be it 0, where somebody told
-- of himself in it; nobody does where the account does not arrive, and then nothing is known.
WITH facts AS ($facts),
ends AS (SELECT unnest(generate_series($first, $last, $step)) AS ended),
told AS (SELECT epoch("timestamp") AS t FROM accounts UNION ALL SELECT t FROM facts),
counted AS (
    SELECT ended, what, sum(n) AS n, max(t) AS t
    FROM ends JOIN facts ON t >= ended - $window AND t < ended
    GROUP BY ended, what
)
SELECT
    ended, NULL AS tenant_id, NULL AS agent_name, NULL AS action_type, coalesce(sum(n), 0) AS value, value AS judged,
    value AS actions, NULL AS before, NULL AS run_id, string_agg(format('{} {}', n, what), ', ' ORDER BY n DESC, what) AS detail
FROM ends LEFT JOIN counted USING (ended)
WHERE EXISTS (SELECT 1 FROM told WHERE told.t >= ended - $window AND told.t < ended)
GROUP BY ended
ORDER BY ended
