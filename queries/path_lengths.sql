-- Fewest edges from every neuron of a set to every other that it reaches.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $max_hops INTEGER from 1 to 20: edges at most; 4 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH RECURSIVE walks AS (
    SELECT layer AS from_layer, neuron AS from_neuron, layer, neuron, 0 AS hop_count
    FROM chosen
    UNION
    SELECT w.from_layer, w.from_neuron, e.tgt_layer, e.tgt_neuron, w.hop_count + 1
    FROM walks AS w
    JOIN edges AS e ON e.src_layer = w.layer AND e.src_neuron = w.neuron
    WHERE w.hop_count < coalesce($max_hops, 4) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
)
SELECT
    'L' || from_layer || '/N' || from_neuron AS src_id,
    'L' || layer || '/N' || neuron AS tgt_id,
    min(hop_count) AS hop_count
FROM walks
SEMI JOIN chosen USING (layer, neuron)
GROUP BY from_layer, from_neuron, layer, neuron
HAVING min(hop_count) > 0
ORDER BY hop_count, from_layer, from_neuron, layer, neuron
LIMIT $limit
