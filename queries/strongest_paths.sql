-- Strongest paths from one set of neurons to another, over at most so many edges, with the graphs that have all of their links.
-- The strength is the product of the shares of the edges in all |weights| into their targets, or the smallest share.
--
-- $starts NEURONS required: where paths start, as an expression or ids
-- $ends NEURONS required: where they end, as an expression or ids
-- $max_hops INTEGER from 1 to 6: edges of a path at most; 3 where left out
-- $by VARCHAR of product, bottleneck: what the strength is; product where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many paths; 20 where left out
--
-- Macro: strongest_paths(from_id, to_id, max_hops := 3, by := 'product', min_graphs := 1, top := 20)
-- Example: FROM strongest_paths('{neuron_id}', '{to_id}');
WITH
-- Paths are followed from both sides and joined in the middle: of three edges, two from the start and one from the end. Of the paths to a neuron over
-- so many edges, no more can be among the strongest than are wanted.
from_start_1 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.tgt_layer AS layer,
            e.tgt_neuron AS neuron,
            e.weight_abs_sum / nullif(n.input_abs_sum, 0) AS strength,
            CASE WHEN e.weight_sum < 0 THEN -1 ELSE 1 END AS sign,
            [(e.src_layer::BIGINT << 24) | e.src_neuron, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron] AS path
        FROM edges AS e
        JOIN starts AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
        JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
        WHERE (e.src_layer::BIGINT << 24) | e.src_neuron <> (e.tgt_layer::BIGINT << 24) | e.tgt_neuron AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
from_start_2 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.tgt_layer AS layer,
            e.tgt_neuron AS neuron,
            CASE WHEN $by = 'bottleneck' THEN least(w.strength, e.weight_abs_sum / nullif(n.input_abs_sum, 0)) ELSE w.strength * e.weight_abs_sum / nullif(n.input_abs_sum, 0) END AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_append(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AS path
        FROM from_start_1 AS w
        JOIN edges AS e ON e.src_layer = w.layer AND e.src_neuron = w.neuron
        JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
        WHERE coalesce($max_hops, 3) >= 3 AND NOT list_contains(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
from_start_3 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.tgt_layer AS layer,
            e.tgt_neuron AS neuron,
            CASE WHEN $by = 'bottleneck' THEN least(w.strength, e.weight_abs_sum / nullif(n.input_abs_sum, 0)) ELSE w.strength * e.weight_abs_sum / nullif(n.input_abs_sum, 0) END AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_append(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AS path
        FROM from_start_2 AS w
        JOIN edges AS e ON e.src_layer = w.layer AND e.src_neuron = w.neuron
        JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
        WHERE coalesce($max_hops, 3) >= 5 AND NOT list_contains(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
to_end_1 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.src_layer AS layer,
            e.src_neuron AS neuron,
            e.weight_abs_sum / nullif(n.input_abs_sum, 0) AS strength,
            CASE WHEN e.weight_sum < 0 THEN -1 ELSE 1 END AS sign,
            [(e.src_layer::BIGINT << 24) | e.src_neuron, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron] AS path
        FROM edges_by_target AS e
        JOIN ends AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
        JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
        WHERE coalesce($max_hops, 3) >= 2 AND (e.src_layer::BIGINT << 24) | e.src_neuron <> (e.tgt_layer::BIGINT << 24) | e.tgt_neuron AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
to_end_2 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.src_layer AS layer,
            e.src_neuron AS neuron,
            CASE WHEN $by = 'bottleneck' THEN least(w.strength, e.weight_abs_sum / nullif(n.input_abs_sum, 0)) ELSE w.strength * e.weight_abs_sum / nullif(n.input_abs_sum, 0) END AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_prepend((e.src_layer::BIGINT << 24) | e.src_neuron, w.path) AS path
        FROM to_end_1 AS w
        JOIN edges_by_target AS e ON e.tgt_layer = w.layer AND e.tgt_neuron = w.neuron
        JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
        WHERE coalesce($max_hops, 3) >= 4 AND NOT list_contains(w.path, (e.src_layer::BIGINT << 24) | e.src_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
to_end_3 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.src_layer AS layer,
            e.src_neuron AS neuron,
            CASE WHEN $by = 'bottleneck' THEN least(w.strength, e.weight_abs_sum / nullif(n.input_abs_sum, 0)) ELSE w.strength * e.weight_abs_sum / nullif(n.input_abs_sum, 0) END AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_prepend((e.src_layer::BIGINT << 24) | e.src_neuron, w.path) AS path
        FROM to_end_2 AS w
        JOIN edges_by_target AS e ON e.tgt_layer = w.layer AND e.tgt_neuron = w.neuron
        JOIN neurons AS n ON n.layer = e.tgt_layer AND n.neuron = e.tgt_neuron
        WHERE coalesce($max_hops, 3) >= 6 AND NOT list_contains(w.path, (e.src_layer::BIGINT << 24) | e.src_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
walks AS (
    SELECT 1 AS hop_count, f.strength, f.sign, f.path
    FROM from_start_1 AS f
    SEMI JOIN ends USING (layer, neuron)
    UNION ALL
    SELECT 2, CASE WHEN $by = 'bottleneck' THEN least(f.strength, b.strength) ELSE f.strength * b.strength END, f.sign * b.sign, list_concat(f.path, b.path[2:])
    FROM from_start_1 AS f
    JOIN to_end_1 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 3, CASE WHEN $by = 'bottleneck' THEN least(f.strength, b.strength) ELSE f.strength * b.strength END, f.sign * b.sign, list_concat(f.path, b.path[2:])
    FROM from_start_2 AS f
    JOIN to_end_1 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 4, CASE WHEN $by = 'bottleneck' THEN least(f.strength, b.strength) ELSE f.strength * b.strength END, f.sign * b.sign, list_concat(f.path, b.path[2:])
    FROM from_start_2 AS f
    JOIN to_end_2 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 5, CASE WHEN $by = 'bottleneck' THEN least(f.strength, b.strength) ELSE f.strength * b.strength END, f.sign * b.sign, list_concat(f.path, b.path[2:])
    FROM from_start_3 AS f
    JOIN to_end_2 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 6, CASE WHEN $by = 'bottleneck' THEN least(f.strength, b.strength) ELSE f.strength * b.strength END, f.sign * b.sign, list_concat(f.path, b.path[2:])
    FROM from_start_3 AS f
    JOIN to_end_3 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
),
best AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY strength DESC, path) AS rank, hop_count, strength, sign, path
    FROM walks
    WHERE strength IS NOT NULL
    QUALIFY rank <= coalesce($limit, 20)
),
links AS (
    SELECT rank, unnest(path[:-2]) AS source, unnest(path[2:]) AS target FROM best
),
nodes AS (
    SELECT graph_id, node, (layer::BIGINT << 24) | neuron AS unit
    FROM graph_nodes
    WHERE kind = 'neuron' AND (layer::BIGINT << 24) | neuron IN (SELECT source FROM links UNION SELECT target FROM links)
),
hits AS (
    SELECT DISTINCT k.rank, k.source, g.graph_id
    FROM links AS k
    JOIN nodes AS s ON s.unit = k.source
    JOIN nodes AS t ON t.unit = k.target AND t.graph_id = s.graph_id
    JOIN graph_links AS g ON g.graph_id = s.graph_id AND g.source = s.node AND g.target = t.node
),
whole AS (
    SELECT rank, count(*) AS graph_count
    FROM (
        SELECT h.rank, h.graph_id
        FROM hits AS h
        JOIN best AS b USING (rank)
        GROUP BY ALL
        HAVING count(*) = any_value(b.hop_count)
    )
    GROUP BY rank
)
SELECT
    b.rank,
    b.hop_count,
    ['L' || (unit >> 24) || '/N' || (unit & 16777215) FOR unit IN b.path] AS path,
    b.sign * b.strength AS strength,
    CASE WHEN EXISTS (FROM graph_links) THEN coalesce(w.graph_count, 0) END AS graph_count
FROM best AS b
LEFT JOIN whole AS w USING (rank)
ORDER BY rank
