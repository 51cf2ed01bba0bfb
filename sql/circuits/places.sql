-- Nodes of the traced prompts: which neuron, or which token at either end, is in which prompt.
SELECT
    g.corpus_index AS prompt,
    CASE n.kind WHEN 'token' THEN 'input' WHEN 'logit' THEN 'output' ELSE 'neuron' END AS kind,
    CASE WHEN n.kind = 'neuron' THEN (n.layer::BIGINT << getvariable('index_bits')) | n.neuron ELSE n.token_id END AS item,
    any_value(b.bucket) AS bucket,
    any_value(b.group_id) AS group_id
FROM given_nodes AS n
JOIN given_graphs AS g USING (graph_id)
JOIN graph_buckets AS b USING (graph_id)
WHERE n.kind IN ('neuron', 'token', 'logit') AND g.corpus_index IS NOT NULL
GROUP BY ALL
ORDER BY ALL
