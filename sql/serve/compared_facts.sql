-- What was compared, and how many tests found a difference.
SELECT key, value
FROM metadata
UNION ALL
-- As `Comparison.detectable` of the library: what one test finds with a probability of 80 %.
SELECT 'detectable', least(2.8 * sqrt(0.25 * (1 / a + 1 / b)), 1)::FLOAT::VARCHAR
FROM (SELECT max(try_cast(value AS DOUBLE)) FILTER (key = 'groups_a') AS a, max(try_cast(value AS DOUBLE)) FILTER (key = 'groups_b') AS b FROM metadata)
WHERE a > 0 AND b > 0
UNION ALL
SELECT unnest(['tested_neurons', 'different_neurons']), unnest([count(p_value), count(*) FILTER (q_value < 0.05)])::VARCHAR
FROM neurons
UNION ALL
SELECT unnest(['tested_edges', 'different_edges', 'tested_means', 'different_means']),
    unnest([
        count(p_value),
        count(*) FILTER (q_value < 0.05),
        count(mean_p_value),
        count(*) FILTER (mean_q_value < 0.05)
    ])::VARCHAR
FROM edges
ORDER BY key
