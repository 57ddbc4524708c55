-- What is chosen, by what tells its groups apart.
CREATE OR REPLACE TEMP TABLE sums AS
SELECT
    $keys,
    is_now,
    count(*) AS n,
    sum(own_tokens)::BIGINT AS tokens,
    sum(own_cost) AS cost,
    count(*) FILTER (WHERE own_tokens > 0 AND own_cost IS NULL) AS unpriced,
    sum(quality_score) AS quality,
    count(quality_score) AS scored,
    sum(feedback_score) AS feedback,
    count(feedback_score) AS graded,
    count(*) FILTER (WHERE feedback_count > 0) AS rated
FROM chosen
GROUP BY $keys, is_now
