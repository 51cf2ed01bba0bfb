-- Neurons in the same graphs as a neuron, most telling (npmi) first.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $min_graphs INTEGER: only neurons that share at least this many graphs with it
-- $limit BIGINT: at most this many rows
SELECT
    layer,
    neuron,
    label,
    cluster_path,
    rank,
    both_graphs,
    share,
    lift,
    pmi,
    npmi
FROM company($layer, $neuron)
WHERE $min_graphs IS NULL OR both_graphs >= $min_graphs
ORDER BY npmi DESC NULLS LAST, rank
LIMIT $limit
