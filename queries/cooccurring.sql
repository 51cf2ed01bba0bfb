-- Neurons that share graphs with a neuron, highest NPMI first.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $min_graphs INTEGER: only neurons that share at least this many graphs with it
-- $limit BIGINT: at most this many rows
SELECT *
FROM cooccurring($layer, $neuron)
WHERE $min_graphs IS NULL OR joint_graph_count >= $min_graphs
ORDER BY npmi DESC NULLS LAST, rank
LIMIT $limit
