-- Units that are active on the same tokens, with label, circuit and edge.
--
-- $layer INTEGER required: layer of the unit
-- $unit INTEGER required: neuron or feature
-- $unit_type VARCHAR of neuron, feature: kind of the unit; the one of the first store where it is left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM coactive($layer, $unit, of_type := $unit_type)
ORDER BY jaccard DESC, other_unit_type, other_layer, other_unit
LIMIT $limit
