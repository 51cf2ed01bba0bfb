-- Edges among a set of neurons and those within so many edges of it, in both directions: the graph grown around the set.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $hops INTEGER from 0 to 6: how far it grows; 1 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH RECURSIVE
near AS (
    SELECT layer, neuron, 0 AS hops FROM chosen
    UNION
    (
        WITH last AS (
            SELECT layer, neuron, hops FROM near WHERE hops < coalesce($hops, 1)
        )
        SELECT e.tgt_layer, e.tgt_neuron, n.hops + 1
        FROM last AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE $min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs
        UNION
        SELECT e.src_layer, e.src_neuron, n.hops + 1
        FROM last AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE $min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs
    )
),
members AS (
    SELECT layer, neuron, min(hops) AS hops FROM near GROUP BY ALL
)
SELECT
    s.neuron_id AS src_id,
    t.neuron_id AS tgt_id,
    s.label AS src_label,
    t.label AS tgt_label,
    a.hops AS src_hops,
    b.hops AS tgt_hops,
    e.graph_count,
    e.group_count,
    e.mean_weight,
    e.weight_abs_sum / nullif(t.input_abs_sum, 0) AS target_share
FROM edges AS e
JOIN members AS a ON a.layer = e.src_layer AND a.neuron = e.src_neuron
JOIN members AS b ON b.layer = e.tgt_layer AND b.neuron = e.tgt_neuron
JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
WHERE $min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs
ORDER BY greatest(a.hops, b.hops), target_share DESC NULLS LAST, e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron
LIMIT $limit
