-- Links from every input token to neurons, by bucket of groups.
SELECT
    t.token_id AS first,
    n.unit AS second,
    b.bucket,
    sum(l.weight::DOUBLE) AS signed,
    sum(abs(l.weight::DOUBLE)) AS absolute
FROM given_links AS l
JOIN given_nodes AS t ON t.graph_id = l.graph_id AND t.node = l.source AND t.kind = 'token'
JOIN neuron_nodes AS n ON n.graph_id = l.graph_id AND n.node = l.target
JOIN graph_buckets AS b ON b.graph_id = l.graph_id
WHERE t.token_id IS NOT NULL
GROUP BY ALL
ORDER BY first, second, bucket
