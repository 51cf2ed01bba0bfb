-- Neurons that a neuron drives (downstream), strongest first, with labels; frequency: share of the source's graphs.
-- Example: FROM downstream({layer}, {neuron}) LIMIT 10;
CREATE MACRO downstream(of_layer, of_neuron) AS TABLE
-- Find the partners by id first, then fetch their labels by rowid. A direct join would decompress all labels.
WITH found AS MATERIALIZED (
    SELECT e.*, n.rowid AS place
    FROM edges AS e
    JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
    WHERE e.src_layer = of_layer AND e.src_neuron = of_neuron
)
SELECT
    e.tgt_layer AS layer,
    e.tgt_neuron AS neuron,
    n.label,
    n.cluster_path,
    e.count,
    e.graph_count,
    e.group_count,
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
