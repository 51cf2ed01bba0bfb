-- Members of a circuit, by the weight of their edges inside it: a cluster of the primary clustering (12, 12.3) or of another
-- (leiden/12), or an anchored circuit (input:276).
-- weight_inside is the sum of the mean absolute weights of the edges from and to other members.
-- Example: FROM circuit('{cluster_path}');
CREATE MACRO circuit(path) AS TABLE
WITH members AS MATERIALIZED (
    SELECT layer, neuron, role, confidence
    FROM circuit_members
    WHERE circuit_id = circuit_named(path)
),
near AS NOT MATERIALIZED (
    -- Clusters of the primary clustering have their edges in one place; those of other circuits are all over the table.
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, mean_weight, mean_abs_weight
    FROM edges_inside
    WHERE top_cluster = try_cast(string_split(path::VARCHAR, '.')[1] AS INTEGER)
    UNION ALL
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, mean_weight, mean_abs_weight
    FROM edges
    WHERE path::VARCHAR SIMILAR TO '.*[:/].*'
),
ends AS (
    SELECT
        e.src_layer,
        e.src_neuron,
        e.tgt_layer,
        e.tgt_neuron,
        coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
    FROM near AS e
    JOIN members AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    JOIN members AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
),
inside AS (
    SELECT layer, neuron, sum(strength) AS weight_inside
    FROM (
        SELECT src_layer AS layer, src_neuron AS neuron, strength FROM ends
        UNION ALL
        SELECT tgt_layer, tgt_neuron, strength FROM ends
        WHERE src_layer <> tgt_layer OR src_neuron <> tgt_neuron
    )
    GROUP BY layer, neuron
)
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    n.cluster_path,
    coalesce(i.weight_inside, 0)::FLOAT AS weight_inside,
    n.infomap_flow,
    n.graph_count,
    n.max_activation,
    n.in_degree,
    n.out_degree,
    m.role,
    m.confidence
FROM members AS m
JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
LEFT JOIN inside AS i ON i.layer = m.layer AND i.neuron = m.neuron
ORDER BY weight_inside DESC, infomap_flow DESC NULLS LAST, layer, neuron;
