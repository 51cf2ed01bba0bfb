-- Tokens that a neuron's weights promote, suppress or respond to, by kind and direction.
-- Example: FROM projection({layer}, {neuron}) WHERE projection_kind = 'output' LIMIT 10;
CREATE MACRO projection(of_layer, of_neuron) AS TABLE
SELECT
    p.projection_kind,
    p.direction,
    p.rank,
    p.token_id,
    p.token,
    p.weight
FROM projections AS p
WHERE p.layer = of_layer AND p.neuron = of_neuron
ORDER BY projection_kind = 'output' DESC, projection_kind, direction, rank;
