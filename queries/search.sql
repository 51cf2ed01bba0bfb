-- Neurons by label text, over every label of every kind; letter case and wildcards have no meaning. Best match first.
--
-- $words VARCHAR required: text to look for
-- $limit BIGINT: at most this many rows
SELECT *
FROM search($words)
ORDER BY match_rank, graph_count DESC, layer, neuron, text, source
LIMIT $limit
