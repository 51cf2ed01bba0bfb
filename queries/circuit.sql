-- Members of a circuit, by the weight of their edges inside it.
--
-- $cluster_path VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it, input:276 for the circuit of a token
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM circuit(coalesce($clustering || '/', '') || $cluster_path)
ORDER BY weight_inside DESC, infomap_flow DESC NULLS LAST, layer, neuron
LIMIT $limit
