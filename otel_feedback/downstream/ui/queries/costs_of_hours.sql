-- The same from sums, which do not tell runs apart.
SELECT
    $key AS key,
    coalesce(sum(n) FILTER (WHERE status <> 'pending'), 0)::BIGINT AS actions,
    sum(tokens)::BIGINT AS tokens,
    sum(cost) AS cost,
    sum(unpriced)::BIGINT AS unpriced,
    NULL AS runs
FROM sums
GROUP BY $key
ORDER BY cost DESC NULLS LAST, tokens DESC NULLS LAST, actions DESC
LIMIT 1000
