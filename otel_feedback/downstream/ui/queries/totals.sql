SELECT is_now, $measures
FROM chosen
GROUP BY is_now
