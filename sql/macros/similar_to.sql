-- Units that are similar to a unit, by four relations that differ: weights of decoder and encoder, joint activity, and tokens.
-- Example: FROM similar_to({layer}, {neuron}) LIMIT 10;
CREATE MACRO similar_to(of_layer, of_unit, of_type := NULL) AS TABLE
WITH asked AS (
    SELECT coalesce(of_type, (SELECT value FROM metadata WHERE key = 'activation_unit_type')) AS unit_type
),
tokens AS (
    SELECT t.token_id, t.mass_share
    FROM activation_tokens AS t
    WHERE
        t.layer = of_layer
        AND t.unit = of_unit
        AND t.relation = 'same'
        AND t.unit_type = (SELECT unit_type FROM asked)
),
shared_tokens AS (
    SELECT o.layer, o.unit, sum(least(o.mass_share, t.mass_share)) AS similarity
    FROM activation_tokens AS o
    JOIN tokens AS t USING (token_id)
    WHERE
        o.relation = 'same'
        AND o.unit_type = (SELECT unit_type FROM asked)
        AND NOT (o.layer = of_layer AND o.unit = of_unit)
    GROUP BY o.layer, o.unit
)
SELECT similarity_kind, 'L' || other_layer || upper('/' || unit_type[1]) || other_unit AS other_id, other_layer, other_unit, similarity
FROM similar_units
WHERE layer = of_layer AND unit = of_unit AND unit_type = (SELECT unit_type FROM asked)
UNION ALL
SELECT 'coactivation_jaccard', 'L' || other_layer || upper('/' || unit_type[1]) || other_unit, other_layer, other_unit, jaccard
FROM coactivation
WHERE
    layer = of_layer
    AND unit = of_unit
    AND unit_type = (SELECT unit_type FROM asked)
    AND other_unit_type = unit_type
UNION ALL
(
    SELECT 'token_overlap', 'L' || layer || upper('/' || (SELECT unit_type FROM asked)[1]) || unit, layer, unit, similarity
    FROM shared_tokens
    ORDER BY similarity DESC, layer, unit
    LIMIT 10
)
ORDER BY similarity_kind, similarity DESC, other_layer, other_unit;
