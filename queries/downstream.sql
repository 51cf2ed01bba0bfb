-- Neurons that a neuron drives (downstream of it), strongest mean absolute weight first.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
SELECT *
FROM downstream($layer, $neuron, CASE WHEN $min_graphs IS NULL THEN $limit END)
WHERE $min_graphs IS NULL OR coalesce(graph_count, count) >= $min_graphs
ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, layer, neuron
LIMIT $limit
