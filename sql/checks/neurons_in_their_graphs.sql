-- Neurons whose appearance_count or node_count is not what neuron_graphs adds up to.
SELECT
    layer,
    neuron,
    n.appearance_count,
    g.graph_count,
    n.node_count,
    g.node_count AS node_sum
FROM neurons AS n
FULL JOIN (
    SELECT layer, neuron, count(*) AS graph_count, sum(node_count) AS node_count
    FROM neuron_graphs
    GROUP BY ALL
) AS g USING (layer, neuron)
-- Files of earlier tools count graphs without naming them: then there is nothing to compare with.
WHERE EXISTS (FROM neuron_graphs)
    AND (
        -- A neuron of which nothing was counted is one that only edges name.
        n.appearance_count <> coalesce(g.graph_count, 0)
        OR n.node_count IS DISTINCT FROM g.node_count
        OR (n.layer IS NULL OR n.appearance_count IS NULL AND g.graph_count IS NOT NULL)
    )
ORDER BY ALL;
