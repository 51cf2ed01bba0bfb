-- Neurons, most frequent first; filter by layer, circuit or label.
--
-- $layer INTEGER: only this layer
-- $top_cluster INTEGER: only this circuit
-- $labelled BOOLEAN: only neurons with (true) or without (false) a label
-- $limit BIGINT: at most this many rows
SELECT
    layer,
    neuron,
    label,
    graph_count,
    node_count,
    in_degree,
    out_degree,
    max_activation,
    cluster_path,
    infomap_flow
FROM neurons
WHERE ($layer IS NULL OR layer = $layer)
    AND ($top_cluster IS NULL OR top_cluster = $top_cluster)
    AND ($labelled IS NULL OR (label IS NOT NULL) = $labelled)
ORDER BY graph_count DESC, in_degree + out_degree DESC, layer, neuron
LIMIT $limit
