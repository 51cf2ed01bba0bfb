-- Edges whose source or target has no row in neurons.
SELECT
    e.src_layer,
    e.src_neuron,
    e.tgt_layer,
    e.tgt_neuron,
    CASE WHEN s.layer IS NULL THEN 'source' ELSE 'target' END AS missing
FROM edges AS e
LEFT JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
LEFT JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
WHERE s.layer IS NULL OR t.layer IS NULL
ORDER BY ALL;
