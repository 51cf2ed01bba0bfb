-- Neurons and features that are active on a token, those that are so most reliably and most exclusively first. Only the tokens that
-- activation_tokens keeps of each unit count. A text without spaces around it also finds tokens with them.
-- Example: FROM fires_on('{fired_token}') LIMIT 10;
CREATE MACRO fires_on(token_text) AS TABLE
SELECT
    'L' || t.layer || upper('/' || t.unit_type[1]) || t.unit AS unit_id,
    t.unit_type,
    t.layer,
    t.unit,
    t.token,
    t.precision,
    t.recall,
    t.lift,
    t.mass_share,
    t.active_count,
    t.token_count,
    t.mean_active,
    n.label,
    n.cluster_path
FROM activation_tokens AS t
-- A feature of a dictionary is not the neuron of the same number.
LEFT JOIN neurons AS n ON n.layer = t.layer AND n.neuron = t.unit AND t.unit_type = 'neuron' AND n.unit_type = 'neuron'
WHERE t.relation IN ('same', 'in') AND (t.token = token_text OR trim(t.token) = token_text)
ORDER BY coalesce(precision, 1) * recall DESC, unit_type, layer, unit, token;
