-- Number of graphs, and of their groups of prompts, that have all links of each path.
-- Before: the table `steps` (path, step, source_kind, source_item, target_kind, target_item), the views `given_nodes` and `given_links`, the table
-- `graph_buckets`, and the variable `index_bits`.
WITH items AS (
    SELECT source_kind AS kind, source_item AS item FROM steps
    UNION
    SELECT target_kind, target_item FROM steps
),
nodes AS (
    SELECT
        n.graph_id,
        n.node,
        n.kind,
        i.item
    FROM given_nodes AS n
    JOIN items AS i
        ON i.kind = n.kind
        AND i.item = CASE WHEN n.kind = 'neuron' THEN (n.layer::BIGINT << getvariable('index_bits')) | n.neuron ELSE n.token_id END
),
hits AS (
    SELECT DISTINCT p.path, p.step, l.graph_id
    FROM given_links AS l
    JOIN nodes AS s ON s.graph_id = l.graph_id AND s.node = l.source
    JOIN nodes AS t ON t.graph_id = l.graph_id AND t.node = l.target
    JOIN steps AS p
        ON p.source_kind = s.kind AND p.source_item = s.item AND p.target_kind = t.kind AND p.target_item = t.item
),
lengths AS (
    SELECT path, count(*) AS step_count FROM steps GROUP BY path
),
whole AS (
    SELECT path, graph_id
    FROM hits
    JOIN lengths USING (path)
    GROUP BY path, graph_id
    HAVING count(*) = any_value(step_count)
)
SELECT path, count(*) AS graph_count, count(DISTINCT group_id) AS group_count
FROM whole
JOIN graph_buckets USING (graph_id)
GROUP BY path
ORDER BY path
