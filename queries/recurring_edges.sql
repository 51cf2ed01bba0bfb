-- Edges that come back in the largest share of the graphs.
--
-- $within NEURONS: only edges between neurons of this set, as an expression or ids
-- $min_share DOUBLE: only edges in at least this share of the graphs
-- $limit BIGINT: at most this many rows
WITH totals AS (
    SELECT coalesce(nullif(count(*), 0), (SELECT value::BIGINT FROM metadata WHERE key = 'graphs_stated')) AS graphs FROM graphs
),
best AS MATERIALIZED (
    SELECT e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron, e.graph_count, e.group_count, e.conditional_frequency, e.mean_weight, t.graphs
    FROM edges AS e
    CROSS JOIN totals AS t
    SEMI JOIN within AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    SEMI JOIN within AS g ON g.layer = e.tgt_layer AND g.neuron = e.tgt_neuron
    WHERE $min_share IS NULL OR e.graph_count >= $min_share * t.graphs
    ORDER BY e.graph_count DESC, e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron
    LIMIT $limit
)
SELECT
    s.neuron_id AS src_id,
    t.neuron_id AS tgt_id,
    s.label AS src_label,
    t.label AS tgt_label,
    b.graph_count,
    b.graph_count / b.graphs AS graph_share,
    b.group_count,
    b.conditional_frequency,
    b.mean_weight
FROM best AS b
JOIN neurons AS s ON s.layer = b.src_layer AND s.neuron = b.src_neuron
JOIN neurons AS t ON t.layer = b.tgt_layer AND t.neuron = b.tgt_neuron
ORDER BY b.graph_count DESC, b.src_layer, b.src_neuron, b.tgt_layer, b.tgt_neuron
