-- Edges inside a circuit, strongest mean absolute weight first.
--
-- $cluster_path VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it, input:276 for the circuit of a token
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM circuit_edges(coalesce($clustering || '/', '') || $cluster_path)
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, src_layer, src_neuron, tgt_layer, tgt_neuron
LIMIT $limit
