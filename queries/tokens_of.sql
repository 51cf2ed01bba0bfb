-- Tokens that a neuron or feature is active on, and tokens before and behind, by share of its activation.
--
-- $layer INTEGER required: layer of the unit
-- $unit INTEGER required: neuron or feature
-- $unit_type VARCHAR of neuron, feature: kind of the unit; the one of the first store where it is left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM tokens_of($layer, $unit, of_type := $unit_type)
ORDER BY relation = 'same' DESC, relation DESC, mass_share DESC, token
LIMIT $limit
