-- How each action ended: of the records of one event the highest revision; repeats and older revisions are gone.
-- As a view it has the columns of events alone: opening.py leaves out the last one.
SELECT *
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY revision DESC) AS place_among_revisions
    FROM events
) AS ranked
WHERE place_among_revisions = 1
