-- Weight of the edges between groups of neurons: layers, top clusters, or neurons whose labels have one type, kind or source.
--
-- $by VARCHAR required of layer, circuit, type, kind, source: what groups the neurons
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH groups AS MATERIALIZED (
    SELECT
        n.layer,
        n.neuron,
        CASE $by
            WHEN 'layer' THEN n.layer::VARCHAR
            WHEN 'circuit' THEN n.top_cluster::VARCHAR
            WHEN 'kind' THEN n.label_kind
            WHEN 'source' THEN n.label_source
            ELSE l.type
        END AS name
    FROM neurons AS n
    LEFT JOIN (SELECT layer, neuron, any_value(type) AS type FROM labels WHERE rank = 1 AND in_atlas GROUP BY ALL) AS l USING (layer, neuron)
)
SELECT
    s.name AS src_group,
    t.name AS tgt_group,
    count(*) AS edge_count,
    sum(e.count)::BIGINT AS link_count,
    sum(e.weight_sum) AS weight_sum,
    sum(e.weight_abs_sum) AS weight_abs_sum
FROM edges AS e
JOIN groups AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
JOIN groups AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
WHERE s.name IS NOT NULL AND t.name IS NOT NULL AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
GROUP BY s.name, t.name
ORDER BY weight_abs_sum DESC, src_group, tgt_group
LIMIT $limit
