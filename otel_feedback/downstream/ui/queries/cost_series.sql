SELECT $bucket AS bucket, $key AS key, sum($cost) AS cost
FROM $outcomes
WHERE $condition
GROUP BY bucket, $key
HAVING sum($cost) IS NOT NULL
