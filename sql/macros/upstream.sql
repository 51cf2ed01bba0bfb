-- Neurons that drive a neuron (upstream), strongest first, with labels; target_share: share of the edge in all |weights| into the neuron,
-- frequency: share of the source's graphs. `top` rows at most, all where NULL.
-- Example: FROM upstream('{neuron_id}') LIMIT 10;
CREATE MACRO upstream(of_layer, of_neuron, top) AS TABLE
-- Find the strongest by their ids, then their rows in neurons, and labels by rowid. A direct join would decompress all labels.
WITH strongest AS MATERIALIZED (
    SELECT *
    FROM edges_by_target
    WHERE tgt_layer = of_layer AND tgt_neuron = of_neuron
    ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, src_layer, src_neuron
    LIMIT top
),
found AS MATERIALIZED (
    SELECT e.*, n.rowid AS place
    FROM strongest AS e
    JOIN neurons AS n ON n.layer = e.src_layer AND n.neuron = e.src_neuron
)
SELECT
    n.neuron_id,
    e.src_layer AS layer,
    e.src_neuron AS neuron,
    n.label,
    n.cluster_path,
    e.count,
    e.graph_count,
    e.group_count,
    (e.weight_abs_sum / nullif(t.input_abs_sum, 0))::FLOAT AS target_share,
    (e.graph_count / nullif(n.graph_count, 0))::FLOAT AS frequency,
    (e.positive_count / e.count)::FLOAT AS positive_share,
    e.mean_weight,
    e.mean_abs_weight,
    e.std_weight,
    e.weight_min,
    e.weight_max,
    e.method
FROM found AS e
JOIN neurons AS n ON n.rowid = e.place
CROSS JOIN (SELECT input_abs_sum FROM neurons WHERE layer = of_layer AND neuron = of_neuron) AS t
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, layer, neuron;
