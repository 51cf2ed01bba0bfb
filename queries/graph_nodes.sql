-- Nodes of one graph, with the tokens and labels that they stand for.
--
-- $graph_id INTEGER required: number of the graph
SELECT
    n.node,
    n.kind,
    m.neuron_id,
    n.layer,
    n.neuron,
    n.token_id,
    n.position,
    n.activation,
    n.influence,
    n.probability,
    coalesce(v.token, t.token) AS token,
    m.label,
    m.cluster_path
FROM graph_nodes AS n
LEFT JOIN tokens AS t ON t.token_id = n.token_id
LEFT JOIN vocabulary AS v ON v.token_id = n.token_id
LEFT JOIN neurons AS m ON m.layer = n.layer AND m.neuron = n.neuron
WHERE n.graph_id = $graph_id
ORDER BY n.node
