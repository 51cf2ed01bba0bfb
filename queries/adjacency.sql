-- Edges from one set of neurons to another, strongest first.
--
-- $starts NEURONS required: sources, as an expression or ids
-- $ends NEURONS required: targets, as an expression or ids
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH found AS (
    SELECT e.*
    FROM edges AS e
    JOIN starts AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    JOIN ends AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
    WHERE $min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs
)
SELECT
    a.neuron_id AS src_id,
    b.neuron_id AS tgt_id,
    a.label AS src_label,
    b.label AS tgt_label,
    f.graph_count,
    f.group_count,
    f.count,
    f.mean_weight,
    f.weight_sum,
    f.weight_abs_sum,
    f.weight_abs_sum / nullif(b.input_abs_sum, 0) AS target_share
FROM found AS f
JOIN neurons AS a ON a.layer = f.src_layer AND a.neuron = f.src_neuron
JOIN neurons AS b ON b.layer = f.tgt_layer AND b.neuron = f.tgt_neuron
ORDER BY f.weight_abs_sum DESC, f.src_layer, f.src_neuron, f.tgt_layer, f.tgt_neuron
LIMIT $limit
