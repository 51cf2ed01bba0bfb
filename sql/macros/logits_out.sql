-- Output tokens that a neuron pushes up or down, strongest first.
-- Example: FROM logits_out({layer}, {neuron}) LIMIT 10;
CREATE MACRO logits_out(of_layer, of_neuron) AS TABLE
SELECT
    v.token_id,
    v.token,
    v.count,
    v.graph_count,
    v.mean_weight,
    v.mean_abs_weight,
    v.weight_min,
    v.weight_max
FROM logit_outputs AS v
WHERE v.layer = of_layer AND v.neuron = of_neuron
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, token_id;
