-- Strongest paths from one set of neurons to another, over at most so many edges, with the graphs that have all of their links.
-- The strength is the product of the shares of the edges in all |weights| into their targets, or the smallest share.
--
-- $starts NEURONS required: where paths start, as an expression or ids
-- $ends NEURONS required: where they end, as an expression or ids
-- $max_hops INTEGER: edges of a path at most; 3 where left out
-- $by VARCHAR: product or bottleneck; product where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many paths; 20 where left out
WITH RECURSIVE
-- What paths may pass: neurons that reach an end in time.
back AS (
    SELECT layer, neuron, 0 AS hop_count FROM ends
    UNION
    SELECT e.src_layer, e.src_neuron, b.hop_count + 1
    FROM back AS b
    JOIN edges_by_target AS e ON e.tgt_layer = b.layer AND e.tgt_neuron = b.neuron
    WHERE b.hop_count < coalesce($max_hops, 3) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
left_hops AS (
    SELECT layer, neuron, min(hop_count) AS hop_count FROM back GROUP BY ALL
),
totals AS (
    SELECT e.tgt_layer, e.tgt_neuron, sum(e.weight_abs_sum) AS total
    FROM edges_by_target AS e
    JOIN left_hops AS l ON l.layer = e.tgt_layer AND l.neuron = e.tgt_neuron
    WHERE l.hop_count < coalesce($max_hops, 3)
    GROUP BY ALL
),
walks AS (
    SELECT
        s.layer,
        s.neuron,
        0 AS hop_count,
        1.0::DOUBLE AS strength,
        1 AS sign,
        [(s.layer::BIGINT << 24) | s.neuron] AS path
    FROM starts AS s
    JOIN left_hops AS l USING (layer, neuron)
    UNION ALL
    -- Of the paths to a neuron over so many edges, no more can be among the strongest than are wanted.
    SELECT
        e.tgt_layer,
        e.tgt_neuron,
        w.hop_count + 1,
        CASE WHEN $by = 'bottleneck' THEN least(w.strength, e.weight_abs_sum / t.total) ELSE w.strength * e.weight_abs_sum / t.total END,
        CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END,
        list_append(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron)
    FROM walks AS w
    JOIN edges AS e ON e.src_layer = w.layer AND e.src_neuron = w.neuron
    JOIN left_hops AS l ON l.layer = e.tgt_layer AND l.neuron = e.tgt_neuron
    JOIN totals AS t ON t.tgt_layer = e.tgt_layer AND t.tgt_neuron = e.tgt_neuron
    WHERE w.hop_count + 1 + l.hop_count <= coalesce($max_hops, 3)
        AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
        AND NOT list_contains(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron)
    QUALIFY row_number() OVER (
        PARTITION BY e.tgt_layer, e.tgt_neuron
        ORDER BY
            CASE WHEN $by = 'bottleneck' THEN least(w.strength, e.weight_abs_sum / t.total) ELSE w.strength * e.weight_abs_sum / t.total END DESC,
            w.path
    ) <= coalesce($limit, 20)
),
best AS (
    SELECT row_number() OVER (ORDER BY strength DESC, path) AS rank, hop_count, strength, sign, path
    FROM walks
    JOIN ends USING (layer, neuron)
    WHERE hop_count > 0
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
    list_transform(b.path, lambda unit: 'L' || (unit >> 24) || '/N' || (unit & 16777215)) AS path,
    b.sign * b.strength AS strength,
    CASE WHEN EXISTS (FROM graph_links) THEN coalesce(w.graph_count, 0) END AS graph_count
FROM best AS b
LEFT JOIN whole AS w USING (rank)
ORDER BY b.rank
