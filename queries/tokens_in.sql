-- Input tokens that drive a neuron, strongest mean absolute weight first.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $limit BIGINT: at most this many rows
SELECT *
FROM tokens_in($layer, $neuron)
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, token_id
LIMIT $limit
