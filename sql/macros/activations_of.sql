-- All kept activations of a unit, with the token and its context.
-- Example: FROM activations_of({layer}, {neuron}) ORDER BY abs(value) DESC LIMIT 10;
CREATE MACRO activations_of(of_layer, of_unit, of_type := NULL) AS TABLE
SELECT
    a.value,
    v.token,
    a.context_id,
    a.position,
    c.document,
    c.source
FROM activations AS a
JOIN contexts AS c USING (context_id)
LEFT JOIN vocabulary AS v ON v.token_id = c.token_ids[a.position + 1]
WHERE
    a.layer = of_layer
    AND a.unit = of_unit
    AND a.unit_type = coalesce(of_type, (SELECT value FROM metadata WHERE key = 'activation_unit_type'))
ORDER BY context_id, position;
