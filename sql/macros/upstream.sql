-- Neurons that drive a neuron (upstream), strongest first, with labels; frequency: share of the source's graphs.
-- Example: FROM upstream({layer}, {neuron}) LIMIT 10;
CREATE MACRO upstream(of_layer, of_neuron) AS TABLE
-- Find the partners by id first, then fetch their labels by rowid. A direct join would decompress all labels.
WITH found AS MATERIALIZED (
    SELECT e.*, n.rowid AS place
    FROM edges_by_target AS e
    JOIN neurons AS n ON n.layer = e.src_layer AND n.neuron = e.src_neuron
    WHERE e.tgt_layer = of_layer AND e.tgt_neuron = of_neuron
)
SELECT
    e.src_layer AS layer,
    e.src_neuron AS neuron,
    n.label,
    n.cluster_path,
    e.count,
    e.graph_count,
    e.group_count,
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
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, layer, neuron;
