-- What a field has, the most frequent first.
SELECT value
FROM (SELECT $value AS value FROM hot)
WHERE value IS NOT NULL AND starts_with(lower(value), lower(?))
GROUP BY value
ORDER BY count(*) DESC, value
LIMIT 200
