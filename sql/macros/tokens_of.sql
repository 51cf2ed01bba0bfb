-- Tokens that a unit is active on, and tokens before and behind, by share of its activation.
-- Example: FROM tokens_of({layer}, {neuron}) WHERE relation = 'same' LIMIT 10;
CREATE MACRO tokens_of(of_layer, of_unit, of_type := NULL) AS TABLE
SELECT
    t.relation,
    t.token,
    t.mass_share,
    t.precision,
    t.recall,
    t.lift,
    t.active_count,
    t.token_count,
    t.mean_active
FROM activation_tokens AS t
WHERE
    t.layer = of_layer
    AND t.unit = of_unit
    AND t.unit_type = coalesce(of_type, (SELECT value FROM metadata WHERE key = 'activation_unit_type'))
ORDER BY relation = 'same' DESC, relation DESC, mass_share DESC, token;
