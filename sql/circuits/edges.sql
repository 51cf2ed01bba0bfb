-- Edges between neurons, by bucket of groups.
SELECT
    (e.src_layer::BIGINT << getvariable('index_bits')) | e.src_neuron AS first,
    (e.tgt_layer::BIGINT << getvariable('index_bits')) | e.tgt_neuron AS second,
    b.bucket,
    sum(e.weight_sum) AS signed,
    sum(e.weight_abs_sum) AS absolute
FROM given_edge_groups AS e
JOIN group_buckets AS b USING (group_id)
GROUP BY ALL
ORDER BY first, second, bucket
