-- Edges inside a circuit, given by its cluster_path or the id of an anchored circuit, strongest first.
-- Example: FROM circuit_edges('{cluster_path}') LIMIT 20;
CREATE MACRO circuit_edges(path) AS TABLE
WITH members AS MATERIALIZED (
    SELECT m.layer, m.neuron, n.label
    FROM circuit_members AS m
    LEFT JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
    WHERE m.circuit_id = circuit_named(path)
),
near AS NOT MATERIALIZED (
    -- Clusters of the primary clustering have their edges in one place; those of other circuits are all over the table.
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, graph_count, mean_weight, mean_abs_weight, weight_min, weight_max
    FROM edges_inside
    WHERE top_cluster = try_cast(string_split(path::VARCHAR, '.')[1] AS INTEGER)
    UNION ALL
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, graph_count, mean_weight, mean_abs_weight, weight_min, weight_max
    FROM edges
    WHERE path::VARCHAR SIMILAR TO '.*[:/].*'
)
SELECT
    'L' || e.src_layer || '/N' || e.src_neuron AS src_id,
    'L' || e.tgt_layer || '/N' || e.tgt_neuron AS tgt_id,
    e.src_layer,
    e.src_neuron,
    s.label AS src_label,
    e.tgt_layer,
    e.tgt_neuron,
    t.label AS tgt_label,
    e.count,
    e.graph_count,
    e.mean_weight,
    e.mean_abs_weight,
    e.weight_min,
    e.weight_max
FROM near AS e
JOIN members AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
JOIN members AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, src_layer, src_neuron, tgt_layer, tgt_neuron;
