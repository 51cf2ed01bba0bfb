-- Neurons of a circuit, or of the whole atlas, by flow and then by the number of their edges.
--
-- $cluster_path VARCHAR: only members of this circuit
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT
    neuron_id,
    layer,
    neuron,
    label,
    infomap_flow,
    in_degree,
    out_degree
FROM neurons
WHERE $cluster_path IS NULL
    OR (layer, neuron) IN (SELECT (layer, neuron) FROM circuit(coalesce($clustering || '/', '') || $cluster_path))
ORDER BY infomap_flow DESC NULLS LAST, in_degree + out_degree DESC, layer, neuron
LIMIT $limit
