-- Number of graphs with each neuron, by bucket of groups.
-- Before: the view `given_neuron_graphs`, the table `graph_buckets`, the variable `index_bits`.
SELECT
    (n.layer::BIGINT << getvariable('index_bits')) | n.neuron AS unit,
    b.bucket,
    count(*)::DOUBLE AS graphs
FROM given_neuron_graphs AS n
JOIN graph_buckets AS b USING (graph_id)
GROUP BY ALL
ORDER BY unit, bucket
