-- What a field has, the most frequent first.
SELECT value
FROM ($values)
WHERE value IS NOT NULL AND starts_with(lower(value), lower(?))
GROUP BY value
ORDER BY sum(n) DESC, value
LIMIT 200
