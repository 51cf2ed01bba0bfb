-- What was compared, and how many tests found a difference.
SELECT key, value
FROM metadata
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
