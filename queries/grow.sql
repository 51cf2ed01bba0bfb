-- Edges among a set of neurons and those within so many edges of it, in both directions: the graph grown around the set.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $hops INTEGER from 0 to 6: how far it grows; 1 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH
near_0 AS (
    SELECT layer, neuron FROM chosen
),
near_1 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM near_0 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM near_0 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
near_2 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM near_1 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM near_1 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
near_3 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM near_2 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM near_2 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
near_4 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM near_3 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM near_3 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
near_5 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM near_4 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM near_4 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
near_6 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM near_5 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 6 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        UNION ALL
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM near_5 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($hops, 1) >= 6 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
members AS MATERIALIZED (
    SELECT layer, neuron, min(hops) AS hops
    FROM (
        SELECT layer, neuron, 0 AS hops FROM near_0
        UNION ALL
        SELECT layer, neuron, 1 AS hops FROM near_1
        UNION ALL
        SELECT layer, neuron, 2 AS hops FROM near_2
        UNION ALL
        SELECT layer, neuron, 3 AS hops FROM near_3
        UNION ALL
        SELECT layer, neuron, 4 AS hops FROM near_4
        UNION ALL
        SELECT layer, neuron, 5 AS hops FROM near_5
        UNION ALL
        SELECT layer, neuron, 6 AS hops FROM near_6
    )
    GROUP BY layer, neuron
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
