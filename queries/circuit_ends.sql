-- Input tokens that drive a circuit, and output tokens that it pushes up or down, by weight per graph.
--
-- $circuit VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it, input:276 for the circuit of a token
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM circuit_ends(coalesce($clustering || '/', '') || $circuit)
ORDER BY side, abs_weight DESC, token_id
LIMIT $limit
