-- The row of one neuron in the table neurons.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
SELECT
    neuron_id,
    layer,
    neuron,
    unit_type,
    label,
    description,
    input_label,
    output_label,
    graph_count,
    node_count,
    in_degree,
    out_degree,
    min_activation,
    max_activation,
    mean_activation,
    mean_influence,
    cluster_path,
    infomap_flow
FROM neurons
WHERE layer = $layer AND neuron = $neuron
ORDER BY layer, neuron
