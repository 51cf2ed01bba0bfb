-- Neurons that a neuron drives (downstream), strongest first, with labels; target_share: share of the edge in all |weights| into its target,
-- frequency: share of the source's graphs. `top` rows at most, all where NULL.
-- Example: FROM downstream('{neuron_id}') LIMIT 10;
CREATE MACRO downstream(of_layer, of_neuron, top) AS TABLE
-- Find the strongest by their ids, then their rows in neurons, and labels by rowid. A direct join would decompress all labels.
WITH strongest AS MATERIALIZED (
    SELECT *
    FROM edges
    WHERE src_layer = of_layer AND src_neuron = of_neuron
    ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, tgt_layer, tgt_neuron
    LIMIT top
),
found AS MATERIALIZED (
    SELECT e.*, n.rowid AS place
    FROM strongest AS e
    JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
)
SELECT
    n.neuron_id,
    e.tgt_layer AS layer,
    e.tgt_neuron AS neuron,
    n.label,
    n.cluster_path,
    e.count,
    e.graph_count,
    e.group_count,
    (e.weight_abs_sum / nullif(n.input_abs_sum, 0))::FLOAT AS target_share,
    (e.graph_count / nullif(s.graph_count, 0))::FLOAT AS frequency,
    (e.positive_count / e.count)::FLOAT AS positive_share,
    e.mean_weight,
    e.mean_abs_weight,
    e.std_weight,
    e.weight_min,
    e.weight_max,
    e.method
FROM found AS e
JOIN neurons AS n ON n.rowid = e.place
CROSS JOIN (SELECT graph_count FROM neurons WHERE layer = of_layer AND neuron = of_neuron) AS s
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, layer, neuron;
