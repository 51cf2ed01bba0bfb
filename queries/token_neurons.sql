-- Neurons that an input token drives, and neurons that drive an output token, strongest mean absolute weight first. share is of all |weights| from
-- tokens into the neuron, or from neurons into the output.
--
-- $token VARCHAR required: text of the token; without spaces around it, tokens with them are found, too
-- $side VARCHAR of in, out: only neurons that it drives (in), or that drive it (out)
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH named AS (
    SELECT t.token_id, coalesce(v.token, t.token) AS token
    FROM tokens AS t
    LEFT JOIN vocabulary AS v USING (token_id)
    WHERE $token IN (t.token, trim(t.token), v.token, trim(v.token))
),
edges_of_token AS (
    SELECT 'in' AS side, token_id, layer, neuron, count, graph_count, mean_weight, mean_abs_weight, weight_abs_sum FROM token_edges
    WHERE coalesce($side, 'in') = 'in'
    UNION ALL
    SELECT 'out', token_id, layer, neuron, count, graph_count, mean_weight, mean_abs_weight, weight_abs_sum FROM logit_edges
    WHERE coalesce($side, 'out') = 'out'
),
found AS MATERIALIZED (
    SELECT *
    FROM edges_of_token
    JOIN named USING (token_id)
    WHERE $min_graphs IS NULL OR coalesce(graph_count, count) >= $min_graphs
    ORDER BY side, coalesce(mean_abs_weight, abs(mean_weight)) DESC, layer, neuron, token_id
    LIMIT $limit
),
token_totals AS (
    SELECT e.layer, e.neuron, sum(e.weight_abs_sum) AS total
    FROM token_edges AS e
    SEMI JOIN found USING (layer, neuron)
    GROUP BY ALL
),
output_totals AS (
    SELECT e.token_id, sum(e.weight_abs_sum) AS total
    FROM logit_edges AS e
    SEMI JOIN named USING (token_id)
    GROUP BY ALL
)
SELECT
    f.side,
    f.token,
    n.neuron_id,
    n.label,
    n.cluster_path,
    f.count,
    f.graph_count,
    f.mean_weight,
    f.mean_abs_weight,
    f.weight_abs_sum / nullif(CASE f.side WHEN 'in' THEN i.total ELSE o.total END, 0) AS share
FROM found AS f
JOIN neurons AS n USING (layer, neuron)
LEFT JOIN token_totals AS i USING (layer, neuron)
LEFT JOIN output_totals AS o ON o.token_id = f.token_id
ORDER BY f.side, coalesce(f.mean_abs_weight, abs(f.mean_weight)) DESC, n.layer, n.neuron, f.token_id
