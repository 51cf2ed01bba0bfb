-- Neurons, most frequent first; filter by layer, circuit, label or template.
--
-- $layer INTEGER: only this layer
-- $top_cluster INTEGER: only this circuit
-- $labelled BOOLEAN: only neurons with (true) or without (false) a label
-- $template BOOLEAN: only neurons that come with the form of the prompts (true), or only others (false)
-- $limit BIGINT: at most this many rows
SELECT
    neuron_id,
    layer,
    neuron,
    label,
    graph_count,
    group_count,
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
    AND ($template IS NULL OR coalesce(is_template, false) = $template)
ORDER BY graph_count DESC, in_degree + out_degree DESC, layer, neuron
LIMIT $limit
