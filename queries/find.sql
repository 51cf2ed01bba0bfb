-- Neurons of a set, most frequent first.
--
-- $chosen NEURONS required: expression such as "label ~ self && layer >= 2", or ids
-- $limit BIGINT: at most this many rows
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    n.graph_count,
    n.group_count,
    n.in_degree,
    n.out_degree,
    n.cluster_path
FROM chosen
JOIN neurons AS n USING (layer, neuron)
ORDER BY n.graph_count DESC, n.layer, n.neuron
LIMIT $limit
