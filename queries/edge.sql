-- One edge with everything that is known of it: counts with their denominators, weights, and the weights of the model beside them.
--
-- $from_layer INTEGER required: layer of the source
-- $from_neuron INTEGER required: source in its layer
-- $to_layer INTEGER required: layer of the target
-- $to_neuron INTEGER required: target in its layer
SELECT
    s.neuron_id AS src_id,
    t.neuron_id AS tgt_id,
    d.* EXCLUDE (src_layer, src_neuron, tgt_layer, tgt_neuron),
    v.evidence,
    v.predicted,
    v.upstream_rank,
    v.downstream_rank,
    v.same_sign
FROM edge_details AS d
JOIN neurons AS s ON s.layer = d.src_layer AND s.neuron = d.src_neuron
JOIN neurons AS t ON t.layer = d.tgt_layer AND t.neuron = d.tgt_neuron
LEFT JOIN edge_evidence AS v
    ON v.src_layer = d.src_layer AND v.src_neuron = d.src_neuron AND v.tgt_layer = d.tgt_layer AND v.tgt_neuron = d.tgt_neuron
WHERE d.src_layer = $from_layer AND d.src_neuron = $from_neuron AND d.tgt_layer = $to_layer AND d.tgt_neuron = $to_neuron
ORDER BY src_id, tgt_id
