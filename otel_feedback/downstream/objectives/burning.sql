-- What a rule of an objective sees at moments: of windows that roll over steps, a long one and a short one.
-- Each key has a row for each moment that is asked for, also where nothing came in it; where nothing came in all of the
-- short window nothing is seen.
SELECT $number AS rule, ended, $keys, $value AS value, $judged AS judged, long_n, run_id
FROM (
    SELECT
        ended, $keys, sum(n) OVER long AS long_n, sum(bad) OVER long AS long_bad, sum(n) OVER short AS short_n,
        sum(bad) OVER short AS short_bad, arg_max(run_id, ended) FILTER (WHERE run_id IS NOT NULL) OVER long AS run_id
    FROM (
        SELECT ended, $keys, sum(n) AS n, sum(bad) AS bad, any_value(run_id) AS run_id
        FROM (
            SELECT ended, $keys, n, bad, run_id FROM $steps WHERE ended > $since
            UNION ALL
            SELECT unnest(generate_series($first, $last, $step)), $keys, 0, 0, NULL FROM (SELECT DISTINCT $keys FROM $steps WHERE ended > $since)
        )
        GROUP BY ended, $keys
    )
    WINDOW
        long AS (PARTITION BY $keys ORDER BY ended RANGE BETWEEN $long_s PRECEDING AND CURRENT ROW),
        short AS (PARTITION BY $keys ORDER BY ended RANGE BETWEEN $short_s PRECEDING AND CURRENT ROW)
)
WHERE ended BETWEEN $first AND $last AND ended % $step = 0 AND short_n > 0 AND long_n >= $min_count
