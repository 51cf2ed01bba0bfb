-- Connections that are duplicated, do not go up a layer, or have the wrong strength, polarity or confidence.
SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, strength, polarity
FROM connections
WHERE
    src_layer >= tgt_layer
    OR (strength IS NOT NULL AND c_up * c_gate < 0)
    OR abs(strength - (c_up + c_gate)) > 1e-5 * (abs(c_up) + abs(c_gate))
    OR polarity <> CASE
        WHEN coalesce(derivative, strength) > 0 THEN 'excitatory'
        WHEN coalesce(derivative, strength) IS NOT NULL THEN 'inhibitory'
        ELSE 'mixed'
    END
    OR confidence NOT BETWEEN 0 AND 1
    OR (upstream_rank IS NULL AND downstream_rank IS NULL)
UNION ALL
SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, NULL, 'twice'
FROM connections
GROUP BY src_layer, src_neuron, tgt_layer, tgt_neuron
HAVING count(*) > 1
ORDER BY ALL;
