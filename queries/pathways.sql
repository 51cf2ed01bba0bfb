-- Edges on any path of at most so many edges from one set of neurons to another: the subgraph between them, with the fewest edges from a start to the
-- source, and from the target to an end.
--
-- $starts NEURONS required: where paths start, as an expression or ids
-- $ends NEURONS required: where they end, as an expression or ids
-- $max_hops INTEGER from 1 to 6: edges of a path at most; 3 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH
ahead_0 AS (
    SELECT layer, neuron FROM starts
),
ahead_1 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM ahead_0 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
ahead_2 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM ahead_1 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
ahead_3 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM ahead_2 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
ahead_4 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM ahead_3 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
ahead_5 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.tgt_layer AS layer, e.tgt_neuron AS neuron
        FROM ahead_4 AS n
        JOIN edges AS e ON e.src_layer = n.layer AND e.src_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
back_0 AS (
    SELECT layer, neuron FROM ends
),
back_1 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM back_0 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 1 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
back_2 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM back_1 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 2 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
back_3 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM back_2 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 3 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
back_4 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM back_3 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 4 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
back_5 AS MATERIALIZED (
    SELECT DISTINCT layer, neuron
    FROM (
        SELECT e.src_layer AS layer, e.src_neuron AS neuron
        FROM back_4 AS n
        JOIN edges_by_target AS e ON e.tgt_layer = n.layer AND e.tgt_neuron = n.neuron
        WHERE coalesce($max_hops, 3) > 5 AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
),
from_starts AS MATERIALIZED (
    SELECT layer, neuron, min(hops) AS hops
    FROM (
        SELECT layer, neuron, 0 AS hops FROM ahead_0
        UNION ALL
        SELECT layer, neuron, 1 AS hops FROM ahead_1
        UNION ALL
        SELECT layer, neuron, 2 AS hops FROM ahead_2
        UNION ALL
        SELECT layer, neuron, 3 AS hops FROM ahead_3
        UNION ALL
        SELECT layer, neuron, 4 AS hops FROM ahead_4
        UNION ALL
        SELECT layer, neuron, 5 AS hops FROM ahead_5
    )
    GROUP BY layer, neuron
),
to_ends AS MATERIALIZED (
    SELECT layer, neuron, min(hops) AS hops
    FROM (
        SELECT layer, neuron, 0 AS hops FROM back_0
        UNION ALL
        SELECT layer, neuron, 1 AS hops FROM back_1
        UNION ALL
        SELECT layer, neuron, 2 AS hops FROM back_2
        UNION ALL
        SELECT layer, neuron, 3 AS hops FROM back_3
        UNION ALL
        SELECT layer, neuron, 4 AS hops FROM back_4
        UNION ALL
        SELECT layer, neuron, 5 AS hops FROM back_5
    )
    GROUP BY layer, neuron
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
