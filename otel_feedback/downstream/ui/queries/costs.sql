-- Who used what: the actions' own, so that nothing counts twice.
SELECT
    $key AS key,
    count(*) FILTER (WHERE status <> 'pending') AS actions,
    sum(own_tokens)::BIGINT AS tokens,
    sum(own_cost) AS cost,
    count(*) FILTER (WHERE own_tokens > 0 AND own_cost IS NULL) AS unpriced,
    count(DISTINCT run_id) AS runs
FROM $outcomes
WHERE $condition
GROUP BY $key
ORDER BY cost DESC NULLS LAST, tokens DESC NULLS LAST, actions DESC
LIMIT 1000
