-- How often a neuron or feature has activations of each size, by sign.
--
-- $layer INTEGER required: layer of the unit
-- $unit INTEGER required: neuron or feature
-- $unit_type VARCHAR of neuron, feature: kind of the unit; the one of the first store where it is left out
SELECT sign, bin, low, high, count
FROM activation_histograms
WHERE
    layer = $layer
    AND unit = $unit
    AND unit_type = coalesce($unit_type, (SELECT value FROM metadata WHERE key = 'activation_unit_type'))
ORDER BY sign, bin
