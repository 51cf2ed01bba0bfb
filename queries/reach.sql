-- Neurons that a set reaches over so many edges, downstream, or that reach it, upstream, with the fewest edges between.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $direction VARCHAR of downstream, upstream: which way; downstream where left out
-- $max_hops INTEGER from 1 to 20: edges at most; 2 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
--
-- Macro: reach(id, direction := 'downstream', max_hops := 2, min_graphs := 1, top := NULL)
-- Example: FROM reach('{neuron_id}', max_hops := 1);
WITH RECURSIVE
steps AS (
    SELECT src_layer AS layer, src_neuron AS neuron, tgt_layer AS to_layer, tgt_neuron AS to_neuron
    FROM edges
    WHERE coalesce($direction, 'downstream') <> 'upstream' AND ($min_graphs IS NULL OR coalesce(graph_count, count) >= $min_graphs)
    UNION ALL
    SELECT tgt_layer, tgt_neuron, src_layer, src_neuron
    FROM edges_by_target
    WHERE $direction = 'upstream' AND ($min_graphs IS NULL OR coalesce(graph_count, count) >= $min_graphs)
),
walks AS (
    SELECT layer, neuron, 0 AS hop_count FROM chosen
    UNION
    SELECT s.to_layer, s.to_neuron, w.hop_count + 1
    FROM walks AS w
    JOIN steps AS s USING (layer, neuron)
    WHERE w.hop_count < coalesce($max_hops, 2)
)
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    min(w.hop_count) AS hop_count,
    n.graph_count
FROM walks AS w
JOIN neurons AS n USING (layer, neuron)
GROUP BY n.layer, n.neuron, n.neuron_id, n.label, n.graph_count
HAVING min(w.hop_count) > 0
ORDER BY hop_count, graph_count DESC, layer, neuron
LIMIT $limit
