-- Neurons whose outgoing edges differ between edges and edges_by_target, by number or content.
-- Compare sums of row hashes, because a set comparison of tens of millions of rows would take minutes.
SELECT
    src_layer,
    src_neuron,
    count(*) FILTER (sign = 1) AS in_edges,
    count(*) FILTER (sign = -1) AS in_edges_by_target
FROM (
    SELECT 1 AS sign, * FROM edges
    UNION ALL BY NAME
    SELECT -1 AS sign, * FROM edges_by_target
)
GROUP BY src_layer, src_neuron
HAVING sum(sign * hash(
    tgt_layer, tgt_neuron, count, graph_count, group_count, positive_count, mean_weight, sign_cancellation, std_weight,
    weight_min, weight_max, half_count, half_mean_weight, joint_graph_count, lift, npmi, in_circuit, method
)::HUGEINT) <> 0
ORDER BY ALL;
