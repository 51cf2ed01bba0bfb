-- Circuits that a circuit drives, and that drive it, by the weight of the edges between them.
--
-- $circuit VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it, input:276 for the circuit of a token
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM circuit_partners(coalesce($clustering || '/', '') || $circuit)
ORDER BY weight_abs_sum DESC, direction, circuit_id
LIMIT $limit
