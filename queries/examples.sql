-- Contexts in which a neuron or feature is active, by stratum, and some in which it is not.
--
-- $layer INTEGER required: layer of the unit
-- $unit INTEGER required: neuron or feature
-- $unit_type VARCHAR of neuron, feature: kind of the unit; the one of the first store where it is left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM examples_of($layer, $unit, of_type := $unit_type)
ORDER BY stratum = 'top' DESC, stratum, rank
LIMIT $limit
