-- Paths from one neuron to another: the direct edge, and all paths through one intermediate neuron, strongest first.
-- `between` is another name for this query.
--
-- $from_layer INTEGER required: layer of the first neuron
-- $from_neuron INTEGER required: index of the first neuron
-- $to_layer INTEGER required: layer of the second neuron
-- $to_neuron INTEGER required: index of the second neuron
-- $limit BIGINT: at most this many rows
SELECT *
FROM paths_between($from_layer, $from_neuron, $to_layer, $to_neuron)
ORDER BY hop_count, strength DESC, via_layer, via_neuron
LIMIT $limit
