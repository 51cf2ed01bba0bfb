-- Edges on any path of at most so many edges from one set of neurons to another: the subgraph between them, with the fewest edges from a start to the
-- source, and from the target to an end.
--
-- $starts NEURONS required: where paths start, as an expression or ids
-- $ends NEURONS required: where they end, as an expression or ids
-- $max_hops INTEGER from 1 to 20: edges of a path at most; 3 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH RECURSIVE
ahead AS (
    SELECT layer, neuron, 0 AS hops FROM starts
    UNION
    SELECT e.tgt_layer, e.tgt_neuron, a.hops + 1
    FROM ahead AS a
    JOIN edges AS e ON e.src_layer = a.layer AND e.src_neuron = a.neuron
    WHERE a.hops + 1 < coalesce($max_hops, 3) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
back AS (
    SELECT layer, neuron, 0 AS hops FROM ends
    UNION
    SELECT e.src_layer, e.src_neuron, b.hops + 1
    FROM back AS b
    JOIN edges_by_target AS e ON e.tgt_layer = b.layer AND e.tgt_neuron = b.neuron
    WHERE b.hops + 1 < coalesce($max_hops, 3) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
from_starts AS (
    SELECT layer, neuron, min(hops) AS hops FROM ahead GROUP BY ALL
),
to_ends AS (
    SELECT layer, neuron, min(hops) AS hops FROM back GROUP BY ALL
)
SELECT
    s.neuron_id AS src_id,
    t.neuron_id AS tgt_id,
    s.label AS src_label,
    t.label AS tgt_label,
    a.hops AS hops_from_start,
    b.hops AS hops_to_end,
    e.graph_count,
    e.group_count,
    e.mean_weight,
    e.weight_abs_sum / nullif(t.input_abs_sum, 0) AS target_share
FROM edges AS e
JOIN from_starts AS a ON a.layer = e.src_layer AND a.neuron = e.src_neuron
JOIN to_ends AS b ON b.layer = e.tgt_layer AND b.neuron = e.tgt_neuron
JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
WHERE a.hops + 1 + b.hops <= coalesce($max_hops, 3) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
ORDER BY hops_from_start, target_share DESC NULLS LAST, e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron
LIMIT $limit
