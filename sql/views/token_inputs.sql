-- Input tokens that drive a neuron, with their text.
-- Example: FROM token_inputs WHERE token = '{input_token}' ORDER BY mean_abs_weight DESC LIMIT 10;
CREATE VIEW token_inputs AS
SELECT
    e.layer,
    e.neuron,
    n.label,
    e.token_id,
    t.token,
    e.count,
    e.graph_count,
    e.mean_weight,
    e.mean_abs_weight,
    e.std_weight,
    e.weight_min,
    e.weight_max
FROM token_edges AS e
JOIN tokens AS t USING (token_id)
JOIN neurons AS n ON n.layer = e.layer AND n.neuron = e.neuron;
