-- Neurons that at least half of the other groups of prompts contain and one graph lacks, most common first.
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
elsewhere AS (
    SELECT layer, neuron, count(DISTINCT group_id)::INTEGER AS other_group_count
    FROM neuron_graphs
    JOIN others USING (graph_id)
    ANTI JOIN (SELECT layer, neuron FROM neuron_graphs WHERE graph_id = $graph_id) USING (layer, neuron)
    GROUP BY layer, neuron
)
SELECT
    neuron_id,
    layer,
    neuron,
    label,
    cluster_path,
    other_group_count,
    other_groups
FROM elsewhere
CROSS JOIN total
JOIN neurons USING (layer, neuron)
WHERE 2 * other_group_count >= other_groups
ORDER BY other_group_count DESC, layer, neuron
LIMIT $limit
