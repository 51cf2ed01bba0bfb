-- Neurons that write to a feature, read it, or are active on the same tokens, with label and circuit.
--
-- $layer INTEGER required: layer of the feature
-- $unit INTEGER required: number of the feature
-- $limit BIGINT: at most this many rows
SELECT *
FROM feature_neurons_of($layer, $unit)
ORDER BY relation, rank
LIMIT $limit
