-- Rows that stand in only one of edges and edges_by_target.
(
    SELECT 'edges' AS only_in, src_layer, src_neuron, tgt_layer, tgt_neuron, count, mean_weight, weight_min, weight_max
    FROM edges
    EXCEPT ALL
    SELECT 'edges', src_layer, src_neuron, tgt_layer, tgt_neuron, count, mean_weight, weight_min, weight_max
    FROM edges_by_target
)
UNION ALL
(
    SELECT 'edges_by_target', src_layer, src_neuron, tgt_layer, tgt_neuron, count, mean_weight, weight_min, weight_max
    FROM edges_by_target
    EXCEPT ALL
    SELECT 'edges_by_target', src_layer, src_neuron, tgt_layer, tgt_neuron, count, mean_weight, weight_min, weight_max
    FROM edges
)
ORDER BY ALL;
