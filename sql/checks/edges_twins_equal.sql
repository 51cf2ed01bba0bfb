-- Neurons whose outgoing edges differ between edges and edges_by_target, by number or content.
-- Compared by the sum of row hashes: a set comparison of tens of millions of rows would take minutes.
WITH by_source AS (
    SELECT
        src_layer,
        src_neuron,
        count(*) AS edge_count,
        sum(hash(
            tgt_layer, tgt_neuron, count, graph_count, positive_count, mean_weight, mean_abs_weight, std_weight,
            weight_min, weight_max, method
        )::HUGEINT) AS content
    FROM edges
    GROUP BY ALL
),
by_target AS (
    SELECT
        src_layer,
        src_neuron,
        count(*) AS edge_count,
        sum(hash(
            tgt_layer, tgt_neuron, count, graph_count, positive_count, mean_weight, mean_abs_weight, std_weight,
            weight_min, weight_max, method
        )::HUGEINT) AS content
    FROM edges_by_target
    GROUP BY ALL
)
SELECT
    src_layer,
    src_neuron,
    s.edge_count AS in_edges,
    t.edge_count AS in_edges_by_target
FROM by_source AS s
FULL JOIN by_target AS t USING (src_layer, src_neuron)
WHERE s.content IS DISTINCT FROM t.content
ORDER BY ALL;
