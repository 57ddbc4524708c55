SELECT t - t % $bucket AS bucket, $measures
FROM chosen
WHERE is_now
GROUP BY bucket
ORDER BY bucket
