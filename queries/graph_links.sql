-- Links of one graph between its nodes, strongest first.
--
-- $graph_id INTEGER required: number of the graph
-- $limit BIGINT: at most this many rows
SELECT
    source,
    target,
    weight
FROM graph_links
WHERE graph_id = $graph_id
ORDER BY abs(weight) DESC, source, target
LIMIT $limit
