-- Graphs that contain a neuron, with the prompt and the token positions; largest absolute activation first.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $limit BIGINT: at most this many rows
SELECT *
FROM graphs_of($layer, $neuron)
ORDER BY greatest(abs(activation_min), abs(activation_max)) DESC NULLS LAST, graph_id
LIMIT $limit
