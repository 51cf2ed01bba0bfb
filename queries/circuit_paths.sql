-- Strongest paths through a circuit of a token, from an input token to an output token.
--
-- $circuit VARCHAR required: id of the circuit of a token, a contrast or a set, such as input:276
-- $min_graphs INTEGER: only paths whose links are all in at least this many graphs
-- $limit BIGINT: at most this many rows
SELECT
    rank,
    token,
    array_to_string(neuron_ids, ' ') AS neurons,
    output,
    strength,
    graph_count,
    group_count
FROM circuit_paths
WHERE circuit_id = circuit_named($circuit) AND ($min_graphs IS NULL OR graph_count >= $min_graphs)
ORDER BY rank
LIMIT $limit
