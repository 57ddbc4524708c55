-- Of each feedback_id the record that was given last: who changed the mind is counted once. Of each tenant's, since none may
-- take the place of another's. Of two of the same moment the same one counts, wherever they are read from.
SELECT * EXCLUDE (place_among_records)
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY feedback_id, tenant_id
        ORDER BY "timestamp" DESC, score DESC NULLS LAST, label DESC NULLS LAST, comment DESC NULLS LAST
    ) AS place_among_records
    FROM feedback_records
)
WHERE place_among_records = 1
