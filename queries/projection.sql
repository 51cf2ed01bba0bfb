-- Tokens that a neuron's weights promote, suppress or respond to, by kind and direction.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $kind VARCHAR of output, input_up, input_gated: only this kind
-- $limit BIGINT: at most this many rows
SELECT *
FROM projection($layer, $neuron)
WHERE $kind IS NULL OR projection_kind = $kind
ORDER BY projection_kind = 'output' DESC, projection_kind, direction, rank
LIMIT $limit
