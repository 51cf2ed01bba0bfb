-- Neurons with the most edges, with the share of graphs that contain them.
--
-- $min_share DOUBLE: only neurons in at least this share of the graphs
-- $limit BIGINT: at most this many rows
SELECT
    'L' || layer || '/N' || neuron AS neuron_id,
    layer,
    neuron,
    label,
    in_degree,
    out_degree,
    degree,
    graph_count,
    graph_share,
    top_cluster
FROM hubs
WHERE $min_share IS NULL OR graph_share >= $min_share
ORDER BY degree DESC, layer, neuron
LIMIT $limit
