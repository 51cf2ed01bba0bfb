-- Share of every neuron in the |weights| of every graph, at either end of its links.
-- Before: the views `given_nodes` and `given_links`, the table `graph_buckets`, the variable `index_bits`.
WITH ends AS (
    SELECT graph_id, source AS node, abs(weight::DOUBLE) AS weight FROM given_links
    UNION ALL
    SELECT graph_id, target, abs(weight::DOUBLE) FROM given_links
),
summed AS (
    SELECT
        (n.layer::BIGINT << getvariable('index_bits')) | n.neuron AS unit,
        e.graph_id,
        any_value(b.bucket) AS bucket,
        sum(e.weight) AS weight
    FROM ends AS e
    JOIN given_nodes AS n ON n.graph_id = e.graph_id AND n.node = e.node AND n.kind = 'neuron'
    JOIN graph_buckets AS b ON b.graph_id = e.graph_id
    GROUP BY ALL
)
SELECT unit, graph_id, bucket, weight / sum(weight) OVER (PARTITION BY graph_id) AS share
FROM summed
WHERE weight > 0
ORDER BY unit, graph_id
