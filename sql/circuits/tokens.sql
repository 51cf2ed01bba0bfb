-- Links between tokens at one end of the graphs (variable `token_kind`: token or logit) and neurons, by bucket of groups.
SELECT
    t.token_id AS first,
    n.unit AS second,
    b.bucket,
    sum(l.weight::DOUBLE) AS signed,
    sum(abs(l.weight::DOUBLE)) AS absolute
FROM token_links AS l
JOIN given_nodes AS t ON t.graph_id = l.graph_id AND t.node = l.token AND t.kind = getvariable('token_kind')
JOIN neuron_nodes AS n ON n.graph_id = l.graph_id AND n.node = l.neuron
JOIN graph_buckets AS b ON b.graph_id = l.graph_id
WHERE l.token_kind = getvariable('token_kind') AND t.token_id IS NOT NULL
GROUP BY ALL
ORDER BY first, second, bucket
