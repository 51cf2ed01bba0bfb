-- Fewest edges from every neuron of a set to every other that it reaches.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $max_hops INTEGER from 1 to 6: edges at most; 4 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH
walks_0 AS (
    SELECT layer AS from_layer, neuron AS from_neuron, layer, neuron FROM chosen
),
walks_1 AS MATERIALIZED (
    SELECT DISTINCT from_layer, from_neuron, layer, neuron
    FROM (
        SELECT n.from_layer, n.from_neuron, e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM walks_0 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 4) >= 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
walks_2 AS MATERIALIZED (
    SELECT DISTINCT from_layer, from_neuron, layer, neuron
    FROM (
        SELECT n.from_layer, n.from_neuron, e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM walks_1 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 4) >= 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
walks_3 AS MATERIALIZED (
    SELECT DISTINCT from_layer, from_neuron, layer, neuron
    FROM (
        SELECT n.from_layer, n.from_neuron, e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM walks_2 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 4) >= 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
walks_4 AS MATERIALIZED (
    SELECT DISTINCT from_layer, from_neuron, layer, neuron
    FROM (
        SELECT n.from_layer, n.from_neuron, e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM walks_3 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 4) >= 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
walks_5 AS MATERIALIZED (
    SELECT DISTINCT from_layer, from_neuron, layer, neuron
    FROM (
        SELECT n.from_layer, n.from_neuron, e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM walks_4 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 4) >= 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
walks_6 AS MATERIALIZED (
    SELECT DISTINCT from_layer, from_neuron, layer, neuron
    FROM (
        SELECT n.from_layer, n.from_neuron, e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM walks_5 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 4) >= 6 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
walks AS MATERIALIZED (
    SELECT from_layer, from_neuron, layer, neuron, min(hops) AS hops
    FROM (
        SELECT from_layer, from_neuron, layer, neuron, 0 AS hops FROM walks_0
        UNION ALL
        SELECT from_layer, from_neuron, layer, neuron, 1 AS hops FROM walks_1
        UNION ALL
        SELECT from_layer, from_neuron, layer, neuron, 2 AS hops FROM walks_2
        UNION ALL
        SELECT from_layer, from_neuron, layer, neuron, 3 AS hops FROM walks_3
        UNION ALL
        SELECT from_layer, from_neuron, layer, neuron, 4 AS hops FROM walks_4
        UNION ALL
        SELECT from_layer, from_neuron, layer, neuron, 5 AS hops FROM walks_5
        UNION ALL
        SELECT from_layer, from_neuron, layer, neuron, 6 AS hops FROM walks_6
    )
    GROUP BY from_layer, from_neuron, layer, neuron
)
SELECT
    'L' || from_layer || '/N' || from_neuron AS src_id,
    'L' || layer || '/N' || neuron AS tgt_id,
    hops AS hop_count
FROM walks
SEMI JOIN chosen USING (layer, neuron)
WHERE hops > 0
ORDER BY hop_count, from_layer, from_neuron, layer, neuron
LIMIT $limit
