-- All kept activations of a neuron or feature, with token and document.
--
-- $layer INTEGER required: layer of the unit
-- $unit INTEGER required: neuron or feature
-- $unit_type VARCHAR of neuron, feature: kind of the unit; the one of the first store where it is left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM activations_of($layer, $unit, of_type := $unit_type)
ORDER BY context_id, position
LIMIT $limit
