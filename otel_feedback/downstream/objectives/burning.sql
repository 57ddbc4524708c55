-- How fast budgets burn at moments: actions by five minutes, and by windows that roll over them. `grid` has a row for each
-- moment that is asked for, so that an agent of which nothing came in it has one, too.
WITH seen AS MATERIALIZED ($seen),
$objectives
SELECT * FROM ($rules) ORDER BY ended
