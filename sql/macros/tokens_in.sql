-- Input tokens that drive a neuron, strongest first.
-- Example: FROM tokens_in({layer}, {neuron}) LIMIT 10;
CREATE MACRO tokens_in(of_layer, of_neuron) AS TABLE
SELECT
    v.token_id,
    v.token,
    v.count,
    v.graph_count,
    v.mean_weight,
    v.mean_abs_weight,
    v.weight_min,
    v.weight_max
FROM token_inputs AS v
WHERE v.layer = of_layer AND v.neuron = of_neuron
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, token_id;
