-- Neurons that a set reaches over so many edges, downstream, or that reach it, upstream, with the fewest edges between.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $direction VARCHAR of downstream, upstream: which way; downstream where left out
-- $max_hops INTEGER from 1 to 6: edges at most; 2 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
--
-- Macro: reach(id, direction := 'downstream', max_hops := 2, min_graphs := 1, top := NULL)
-- Example: FROM reach('{neuron_id}', max_hops := 1);
WITH
-- One step after another, and not a recursion, for which DuckDB would read all edges again and again.
reached_0 AS (
    SELECT layer, neuron FROM chosen
),
reached_1 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM reached_0 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'downstream' AND coalesce($max_hops, 2) >= 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM reached_0 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'upstream' AND coalesce($max_hops, 2) >= 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
reached_2 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM reached_1 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'downstream' AND coalesce($max_hops, 2) >= 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM reached_1 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'upstream' AND coalesce($max_hops, 2) >= 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
reached_3 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM reached_2 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'downstream' AND coalesce($max_hops, 2) >= 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM reached_2 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'upstream' AND coalesce($max_hops, 2) >= 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
reached_4 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM reached_3 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'downstream' AND coalesce($max_hops, 2) >= 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM reached_3 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'upstream' AND coalesce($max_hops, 2) >= 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
reached_5 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM reached_4 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'downstream' AND coalesce($max_hops, 2) >= 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM reached_4 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'upstream' AND coalesce($max_hops, 2) >= 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
reached_6 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM reached_5 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'downstream' AND coalesce($max_hops, 2) >= 6 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM reached_5 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($direction, 'downstream') = 'upstream' AND coalesce($max_hops, 2) >= 6 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
reached AS MATERIALIZED (
    SELECT layer, neuron, min(hops) AS hops
    FROM (
        SELECT layer, neuron, 0 AS hops FROM reached_0
        UNION ALL
        SELECT layer, neuron, 1 AS hops FROM reached_1
        UNION ALL
        SELECT layer, neuron, 2 AS hops FROM reached_2
        UNION ALL
        SELECT layer, neuron, 3 AS hops FROM reached_3
        UNION ALL
        SELECT layer, neuron, 4 AS hops FROM reached_4
        UNION ALL
        SELECT layer, neuron, 5 AS hops FROM reached_5
        UNION ALL
        SELECT layer, neuron, 6 AS hops FROM reached_6
    )
    GROUP BY layer, neuron
)
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    r.hops AS hop_count,
    n.graph_count
FROM reached AS r
JOIN neurons AS n USING (layer, neuron)
WHERE r.hops > 0
ORDER BY hop_count, graph_count DESC, layer, neuron
LIMIT $limit
