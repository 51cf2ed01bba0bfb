-- Neurons by label text, over labels of all kinds, best match first. Ignores letter case; wildcards are plain text.
--
-- $words VARCHAR required: text to look for
-- $limit BIGINT: at most this many rows
SELECT *
FROM search($words)
ORDER BY match_rank, graph_count DESC, layer, neuron, text, source
LIMIT $limit
