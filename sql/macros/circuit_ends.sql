-- Tokens at both ends of a circuit: inputs that drive its neurons, and outputs that they push up (mean_weight > 0) or down, with
-- the weight per graph summed over its neurons, largest first.
-- Example: FROM circuit_ends('{cluster_path}') WHERE side = 'input' LIMIT 10;
CREATE MACRO circuit_ends(path) AS TABLE
WITH members AS MATERIALIZED (
    SELECT layer, neuron
    FROM circuit_members
    WHERE circuit_id = circuit_named(path)
),
ends AS (
    SELECT 'input' AS side, e.token_id, e.count, e.mean_weight, coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
    FROM token_edges AS e
    JOIN members AS m ON m.layer = e.layer AND m.neuron = e.neuron
    UNION ALL
    SELECT 'output', e.token_id, e.count, e.mean_weight, coalesce(e.mean_abs_weight, abs(e.mean_weight))
    FROM logit_edges AS e
    JOIN members AS m ON m.layer = e.layer AND m.neuron = e.neuron
)
SELECT
    e.side,
    e.token_id,
    coalesce(v.token, t.token) AS token,
    count(*) AS neuron_count,
    sum(e.count * e.mean_weight) / any_value(greatest(CASE e.side WHEN 'input' THEN t.input_graph_count ELSE t.output_graph_count END, 1))
        AS weight,
    sum(e.count * e.strength) / any_value(greatest(CASE e.side WHEN 'input' THEN t.input_graph_count ELSE t.output_graph_count END, 1))
        AS abs_weight
FROM ends AS e
JOIN tokens AS t USING (token_id)
-- The vocabulary of a store spells tokens as readable text.
LEFT JOIN vocabulary AS v USING (token_id)
GROUP BY e.side, e.token_id, coalesce(v.token, t.token)
ORDER BY side, abs_weight DESC, token_id;
