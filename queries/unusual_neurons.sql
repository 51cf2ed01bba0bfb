-- Neurons of one graph that few other groups of prompts contain, most surprising first.
--
-- $graph_id INTEGER required: number of the graph
-- $limit BIGINT: at most this many rows
WITH own AS (
    SELECT group_id FROM graphs WHERE graph_id = $graph_id
),
others AS (
    SELECT graph_id, group_id FROM graphs WHERE group_id <> (FROM own)
),
total AS (
    SELECT count(DISTINCT group_id)::INTEGER AS other_groups FROM others
),
here AS (
    SELECT * FROM neuron_graphs WHERE graph_id = $graph_id
),
elsewhere AS (
    SELECT layer, neuron, count(DISTINCT group_id) AS group_count
    FROM neuron_graphs
    SEMI JOIN here USING (layer, neuron)
    JOIN others USING (graph_id)
    GROUP BY layer, neuron
)
SELECT
    neuron_id,
    layer,
    neuron,
    label,
    cluster_path,
    coalesce(elsewhere.group_count, 0)::INTEGER AS other_group_count,
    total.other_groups,
    -- One is added to both counts, so that a neuron that no other group contains has a finite surprise.
    abs(log2((other_group_count + 1) / (other_groups + 1)))::FLOAT AS surprise,
    here.positions,
    here.activation_max
FROM here
CROSS JOIN total
LEFT JOIN elsewhere USING (layer, neuron)
JOIN neurons USING (layer, neuron)
ORDER BY surprise DESC, abs(here.activation_max) DESC NULLS LAST, layer, neuron
LIMIT $limit
