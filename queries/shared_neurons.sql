-- Neurons of two graphs: those of both first, then those of one alone, with how usual each is.
--
-- $first INTEGER required: number of a graph
-- $second INTEGER required: number of another
-- $limit BIGINT: at most this many rows
WITH seen AS (
    SELECT
        layer,
        neuron,
        coalesce(bool_or(graph_id = $first), false) AS in_first,
        coalesce(bool_or(graph_id = $second), false) AS in_second
    FROM neuron_graphs
    WHERE graph_id IN ($first, $second)
    GROUP BY layer, neuron
)
SELECT
    n.neuron_id,
    n.label,
    s.in_first,
    s.in_second,
    n.graph_count,
    n.graph_count / (SELECT count(*) FROM graphs) AS graph_share
FROM seen AS s
JOIN neurons AS n USING (layer, neuron)
ORDER BY s.in_first AND s.in_second DESC, s.in_first DESC, n.graph_count, n.layer, n.neuron
LIMIT $limit
