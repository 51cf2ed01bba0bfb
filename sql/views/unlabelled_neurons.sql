-- Neurons without a label, most frequent and best connected first: candidates for labelling.
-- Example: FROM unlabelled_neurons LIMIT 20;
CREATE VIEW unlabelled_neurons AS
SELECT
    layer,
    neuron,
    graph_count,
    in_degree,
    out_degree,
    max_activation,
    top_cluster
FROM neurons
WHERE label IS NULL
ORDER BY graph_count DESC, in_degree + out_degree DESC, layer, neuron;
