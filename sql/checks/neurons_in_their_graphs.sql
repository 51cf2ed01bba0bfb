-- Neurons whose appearance_count or node_count differs from the totals in neuron_graphs.
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
-- Legacy files count graphs without listing them. In this case there is nothing to compare.
WHERE EXISTS (FROM neuron_graphs)
    AND (
        -- A neuron without counts appears only in edges.
        n.appearance_count <> coalesce(g.graph_count, 0)
        OR n.node_count IS DISTINCT FROM g.node_count
        OR (n.layer IS NULL OR n.appearance_count IS NULL AND g.graph_count IS NOT NULL)
    )
ORDER BY ALL;
