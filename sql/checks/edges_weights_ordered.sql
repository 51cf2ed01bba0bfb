-- Edges with weight_min > weight_max, or a mean outside this range (beyond the rounding of FLOAT).
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    weight_min,
    mean_weight,
    weight_max
FROM edges
WHERE weight_min > weight_max
    OR mean_weight < weight_min - 1e-6 * greatest(abs(weight_min), abs(weight_max))
    OR mean_weight > weight_max + 1e-6 * greatest(abs(weight_min), abs(weight_max))
ORDER BY ALL;
