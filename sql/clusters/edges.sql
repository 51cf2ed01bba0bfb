-- Statistics of edges by bucket of groups, of the edges that reach half of each threshold: fewer could reach it in no half of the groups,
-- and in a bootstrap only if it doubles them.
-- Before: the view `edges_by_group`, the table `group_buckets`, the variables `index_bits`, `min_count`, `min_graphs` and `min_groups`.
WITH strong AS (
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron
    FROM edges_by_group
    GROUP BY ALL
    HAVING
        2 * sum(count) >= getvariable('min_count')
        AND 2 * sum(graph_count) >= getvariable('min_graphs')
        AND 2 * count(*) >= getvariable('min_groups')
)
SELECT
    (e.src_layer::BIGINT << getvariable('index_bits')) | e.src_neuron AS source,
    (e.tgt_layer::BIGINT << getvariable('index_bits')) | e.tgt_neuron AS target,
    b.bucket,
    sum(e.count)::DOUBLE AS count,
    sum(e.graph_count)::DOUBLE AS graphs,
    count(*)::DOUBLE AS groups,
    sum(e.weight_sum) AS signed,
    sum(e.weight_abs_sum) AS absolute
FROM edges_by_group AS e
JOIN strong USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
JOIN group_buckets AS b USING (group_id)
GROUP BY ALL
ORDER BY source, target, bucket
