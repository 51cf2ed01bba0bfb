-- Neurons of two sets of graphs: the share of the graphs of each that contain them, largest difference first.
--
-- $graphs VARCHAR required: a group of prompts by its name, or numbers of graphs: 1, 4, 9
-- $others VARCHAR required: another
-- $limit BIGINT: at most this many rows
WITH sides AS (
    SELECT 1 AS side, graph_id FROM graphs
    WHERE prompt_group = $graphs OR list_contains(string_split(replace($graphs, ' ', ''), ','), graph_id::VARCHAR)
    UNION ALL
    SELECT 2, graph_id FROM graphs
    WHERE prompt_group = $others OR list_contains(string_split(replace($others, ' ', ''), ','), graph_id::VARCHAR)
),
totals AS (
    SELECT count(*) FILTER (side = 1) AS first_total, count(*) FILTER (side = 2) AS second_total
    FROM sides
),
seen AS (
    SELECT layer, neuron, count(*) FILTER (side = 1) AS first_count, count(*) FILTER (side = 2) AS second_count
    FROM neuron_graphs
    JOIN sides USING (graph_id)
    GROUP BY layer, neuron
)
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    n.cluster_path,
    s.first_count,
    t.first_total,
    s.second_count,
    t.second_total,
    s.first_count / nullif(t.first_total, 0) - s.second_count / nullif(t.second_total, 0) AS difference
FROM seen AS s
CROSS JOIN totals AS t
JOIN neurons AS n USING (layer, neuron)
ORDER BY abs(difference) DESC NULLS LAST, s.first_count + s.second_count DESC, n.layer, n.neuron
LIMIT $limit
