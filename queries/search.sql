-- Neurons by the words of their labels and descriptions, best first: words in any order, beginnings and parts of words, "phrases", and the nearest
-- words where none is spelled so.
--
-- $words VARCHAR required: what to look for
-- $within NEURONS: only neurons of this set, as an expression or ids
-- $limit BIGINT: at most this many rows
SELECT s.*
FROM search($words, CASE WHEN $within IS NULL THEN $limit END) AS s
SEMI JOIN within USING (layer, neuron)
ORDER BY s.score DESC, s.graph_count DESC NULLS LAST, s.layer, s.neuron
LIMIT $limit
