-- Members of a cluster of the primary clustering, by flow.
--
-- $cluster_path VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it
-- $limit BIGINT: at most this many rows
SELECT
    layer,
    neuron,
    label,
    cluster_path,
    infomap_flow,
    appearance_count,
    max_activation,
    in_degree,
    out_degree
FROM circuit($cluster_path)
ORDER BY infomap_flow DESC, layer, neuron
LIMIT $limit
