-- Output tokens that a neuron pushes up (mean_weight > 0) or down, with their text.
-- Example: FROM logit_outputs WHERE token = '{output_token}' ORDER BY mean_weight DESC LIMIT 10;
CREATE VIEW logit_outputs AS
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
FROM logit_edges AS e
JOIN tokens AS t USING (token_id)
JOIN neurons AS n ON n.layer = e.layer AND n.neuron = e.neuron;
