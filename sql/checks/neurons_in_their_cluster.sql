-- Neurons whose cluster_path differs from the one in the primary clustering.
-- An imported clustering can contain neurons that are in no graph. The metadata counts them.
SELECT
    layer,
    neuron,
    n.cluster_path,
    m.cluster_path AS clustering_says
FROM neurons AS n
LEFT JOIN (
    SELECT layer, neuron, cluster_path
    FROM cluster_members
    WHERE clustering = (SELECT clustering FROM clusterings WHERE is_primary)
) AS m USING (layer, neuron)
WHERE n.cluster_path IS DISTINCT FROM m.cluster_path
ORDER BY ALL;
