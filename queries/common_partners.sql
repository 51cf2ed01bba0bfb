-- Neurons that drive several neurons of a set, or that several drive, those of most first.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $direction VARCHAR of inputs, outputs: which partners; both where left out
-- $min_partners INTEGER: only neurons with edges to or from at least this many of the set; 2 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH partners AS (
    SELECT 'inputs' AS direction, e.src_layer AS layer, e.src_neuron AS neuron, e.weight_sum, e.weight_abs_sum, e.graph_count, e.count
    FROM edges_by_target AS e
    JOIN chosen AS c ON c.layer = e.tgt_layer AND c.neuron = e.tgt_neuron
    UNION ALL
    SELECT 'outputs', e.tgt_layer, e.tgt_neuron, e.weight_sum, e.weight_abs_sum, e.graph_count, e.count
    FROM edges AS e
    JOIN chosen AS c ON c.layer = e.src_layer AND c.neuron = e.src_neuron
)
SELECT
    p.direction,
    n.neuron_id,
    n.label,
    count(*) AS partner_count,
    count(*) / (SELECT count(*) FROM chosen) AS partner_share,
    sum(p.weight_sum) AS weight_sum,
    sum(p.weight_abs_sum) AS weight_abs_sum
FROM partners AS p
JOIN neurons AS n USING (layer, neuron)
WHERE ($direction IS NULL OR p.direction = $direction)
    AND ($min_graphs IS NULL OR coalesce(p.graph_count, p.count) >= $min_graphs)
GROUP BY p.direction, n.layer, n.neuron, n.neuron_id, n.label
HAVING count(*) >= coalesce($min_partners, 2)
ORDER BY partner_count DESC, weight_abs_sum DESC, p.direction, n.layer, n.neuron
LIMIT $limit
