-- Neurons of a circuit, or of the whole atlas, by flow and then by the number of their edges.
--
-- $cluster_path VARCHAR: only members of this circuit
-- $limit BIGINT: at most this many rows
SELECT
    layer,
    neuron,
    label,
    infomap_flow,
    in_degree,
    out_degree
FROM neurons
WHERE $cluster_path IS NULL OR cluster_path = $cluster_path OR starts_with(cluster_path, $cluster_path || '.')
ORDER BY infomap_flow DESC NULLS LAST, in_degree + out_degree DESC, layer, neuron
LIMIT $limit
