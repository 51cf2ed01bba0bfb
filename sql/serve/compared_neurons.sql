-- Neurons of a comparison, the surest difference first.
SELECT 'L' || layer || '/N' || neuron AS neuron_id, * EXCLUDE (layer, neuron)
FROM neurons
ORDER BY p_value, abs(difference) DESC, layer, neuron
