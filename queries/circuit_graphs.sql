-- Graphs in which a circuit acts, those with the largest share of its neurons first.
--
-- $circuit VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it, input:276 for the circuit of a token
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT *
FROM circuit_graphs(coalesce($clustering || '/', '') || $circuit)
ORDER BY active_share DESC, graph_id
LIMIT $limit
