-- Strongest paths from an input token through neurons to an output token, with the graphs that have all of their links. The strength is the product of
-- the shares of its steps: of all |weights| from tokens and neurons into a neuron, and of all from neurons into the output.
--
-- $token VARCHAR required: text of the input token; without spaces around it, tokens with them are found, too
-- $output VARCHAR required: text of the output token
-- $max_neurons INTEGER from 1 to 4: neurons of a path at most; 3 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many paths; 20 where left out
--
-- Macro: token_paths(token, output, max_neurons := 3, min_graphs := 1, top := 20)
-- Example: FROM token_paths('{input_token}', '{output_token}');
WITH
spelled AS (
    -- No column is called token or output: parameters of the macro are.
    SELECT t.token_id, t.token AS short_text, coalesce(v.token, t.token) AS long_text
    FROM tokens AS t
    LEFT JOIN vocabulary AS v USING (token_id)
),
-- All |weights| into a neuron, from neurons and from tokens.
totals AS MATERIALIZED (
    SELECT n.layer, n.neuron, n.input_abs_sum + coalesce(any_value(t.total), 0) AS total
    FROM neurons AS n
    LEFT JOIN (SELECT layer, neuron, sum(weight_abs_sum) AS total FROM token_edges GROUP BY ALL) AS t USING (layer, neuron)
    GROUP BY n.layer, n.neuron, n.input_abs_sum
),
outputs AS MATERIALIZED (
    SELECT e.token_id, sum(e.weight_abs_sum) AS total
    FROM logit_edges AS e
    SEMI JOIN (FROM spelled WHERE $output IN (short_text, trim(short_text), long_text, trim(long_text))) USING (token_id)
    GROUP BY ALL
),
-- As numbers: a neuron is its layer and index, a token is negative, and an output token below all tokens.
from_token_1 AS MATERIALIZED (
    SELECT
        e.layer,
        e.neuron,
        e.weight_abs_sum / nullif(t.total, 0) AS strength,
        CASE WHEN e.weight_sum < 0 THEN -1 ELSE 1 END AS sign,
        [-1 - e.token_id, (e.layer::BIGINT << 24) | e.neuron] AS path
    FROM token_edges AS e
    SEMI JOIN (FROM spelled WHERE $token IN (short_text, trim(short_text), long_text, trim(long_text))) AS s USING (token_id)
    JOIN totals AS t USING (layer, neuron)
    WHERE ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
from_token_2 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.tgt_layer AS layer,
            e.tgt_neuron AS neuron,
            w.strength * e.weight_abs_sum / nullif(t.total, 0) AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_append(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AS path
        FROM from_token_1 AS w
        JOIN edges AS e ON e.src_layer = w.layer AND e.src_neuron = w.neuron
        JOIN totals AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
        WHERE coalesce($max_neurons, 3) >= 2 AND NOT list_contains(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
from_token_3 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.tgt_layer AS layer,
            e.tgt_neuron AS neuron,
            w.strength * e.weight_abs_sum / nullif(t.total, 0) AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_append(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AS path
        FROM from_token_2 AS w
        JOIN edges AS e ON e.src_layer = w.layer AND e.src_neuron = w.neuron
        JOIN totals AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
        WHERE coalesce($max_neurons, 3) >= 4 AND NOT list_contains(w.path, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
to_output_1 AS MATERIALIZED (
    SELECT
        e.layer,
        e.neuron,
        e.weight_abs_sum / nullif(o.total, 0) AS strength,
        CASE WHEN e.weight_sum < 0 THEN -1 ELSE 1 END AS sign,
        [(e.layer::BIGINT << 24) | e.neuron, -(1::BIGINT << 40) - e.token_id] AS path
    FROM logit_edges AS e
    JOIN outputs AS o USING (token_id)
    WHERE ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
to_output_2 AS MATERIALIZED (
    -- Ranked outside: inside, strength would be that of the shorter path.
    SELECT *
    FROM (
        SELECT
            e.src_layer AS layer,
            e.src_neuron AS neuron,
            w.strength * e.weight_abs_sum / nullif(t.total, 0) AS strength,
            CASE WHEN e.weight_sum < 0 THEN -w.sign ELSE w.sign END AS sign,
            list_prepend((e.src_layer::BIGINT << 24) | e.src_neuron, w.path) AS path
        FROM to_output_1 AS w
        JOIN edges_by_target AS e ON e.tgt_layer = w.layer AND e.tgt_neuron = w.neuron
        JOIN totals AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
        WHERE coalesce($max_neurons, 3) >= 3 AND NOT list_contains(w.path, (e.src_layer::BIGINT << 24) | e.src_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
    )
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY strength DESC, path) <= coalesce($limit, 20)
),
walks AS (
    SELECT 1 AS neuron_count, f.strength * b.strength AS strength, f.sign * b.sign AS sign, list_concat(f.path, b.path[2:]) AS path
    FROM from_token_1 AS f
    JOIN to_output_1 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 2 AS neuron_count, f.strength * b.strength AS strength, f.sign * b.sign AS sign, list_concat(f.path, b.path[2:]) AS path
    FROM from_token_2 AS f
    JOIN to_output_1 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 3 AS neuron_count, f.strength * b.strength AS strength, f.sign * b.sign AS sign, list_concat(f.path, b.path[2:]) AS path
    FROM from_token_2 AS f
    JOIN to_output_2 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
    UNION ALL
    SELECT 4 AS neuron_count, f.strength * b.strength AS strength, f.sign * b.sign AS sign, list_concat(f.path, b.path[2:]) AS path
    FROM from_token_3 AS f
    JOIN to_output_2 AS b USING (layer, neuron)
    WHERE NOT list_has_any(f.path, b.path[2:])
),
best AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY strength DESC, path) AS rank, neuron_count, strength, sign, path
    FROM walks
    WHERE strength IS NOT NULL
    QUALIFY rank <= coalesce($limit, 20)
),
links AS (
    SELECT rank, unnest(path[:-2]) AS source, unnest(path[2:]) AS target FROM best
),
numbered AS (
    SELECT
        graph_id,
        node,
        CASE kind WHEN 'neuron' THEN (layer::BIGINT << 24) | neuron WHEN 'token' THEN -1 - token_id WHEN 'logit' THEN -(1::BIGINT << 40) - token_id END AS unit
    FROM graph_nodes
),
nodes AS (
    FROM numbered WHERE unit IN (SELECT source FROM links UNION SELECT target FROM links)
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
        HAVING count(*) = any_value(b.neuron_count) + 1
    )
    GROUP BY rank
)
SELECT
    b.rank,
    b.neuron_count,
    s.long_text AS token,
    ['L' || (unit >> 24) || '/N' || (unit & 16777215) FOR unit IN b.path[2:-2]] AS path,
    o.long_text AS output,
    b.sign * b.strength AS strength,
    CASE WHEN EXISTS (FROM graph_links) THEN coalesce(w.graph_count, 0) END AS graph_count
FROM best AS b
JOIN spelled AS s ON s.token_id = -1 - b.path[1]
JOIN spelled AS o ON o.token_id = -(1::BIGINT << 40) - b.path[-1]
LEFT JOIN whole AS w USING (rank)
ORDER BY rank
