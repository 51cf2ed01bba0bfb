-- Units that are similar, by weights, joint activity and tokens.
--
-- $layer INTEGER required: layer of the unit
-- $unit INTEGER required: neuron or feature
-- $unit_type VARCHAR of neuron, feature: kind of the unit; the one of the first store where it is left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM similar_to($layer, $unit, of_type := $unit_type)
ORDER BY similarity_kind, similarity DESC, other_layer, other_unit
LIMIT $limit
