-- Edges of a comparison, the surest difference of frequency or of mean weight first.
SELECT
    'L' || e.src_layer || '/N' || e.src_neuron AS src_id,
    s.label AS src_label,
    'L' || e.tgt_layer || '/N' || e.tgt_neuron AS tgt_id,
    t.label AS tgt_label,
    e.* EXCLUDE (src_layer, src_neuron, tgt_layer, tgt_neuron)
FROM edges AS e
LEFT JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
LEFT JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
ORDER BY least(e.q_value, e.mean_q_value), least(e.p_value, e.mean_p_value), e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron
