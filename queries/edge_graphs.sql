-- Graphs that have one edge, with its weight in each, strongest first.
--
-- $from_layer INTEGER required: layer of the source
-- $from_neuron INTEGER required: source in its layer
-- $to_layer INTEGER required: layer of the target
-- $to_neuron INTEGER required: target in its layer
-- $limit BIGINT: at most this many rows
WITH ends AS (
    SELECT s.graph_id, s.node AS source, t.node AS target
    FROM graph_nodes AS s
    JOIN graph_nodes AS t ON t.graph_id = s.graph_id AND t.layer = $to_layer AND t.neuron = $to_neuron AND t.kind = 'neuron'
    WHERE s.layer = $from_layer AND s.neuron = $from_neuron AND s.kind = 'neuron'
),
found AS (
    SELECT graph_id, count(*) AS link_count, sum(l.weight) AS weight
    FROM ends
    JOIN graph_links AS l USING (graph_id, source, target)
    GROUP BY graph_id
)
SELECT
    f.graph_id,
    g.prompt,
    g.prompt_group,
    f.link_count,
    f.weight::FLOAT AS weight
FROM found AS f
JOIN graphs AS g USING (graph_id)
ORDER BY abs(f.weight) DESC, f.graph_id
LIMIT $limit
