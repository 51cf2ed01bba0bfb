-- Places in a corpus where a neuron fires most: the token, and the words before it.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $limit BIGINT: at most this many rows
SELECT *
FROM exemplars_of($layer, $neuron)
ORDER BY abs(activation) DESC, prompt_path, position
LIMIT $limit
