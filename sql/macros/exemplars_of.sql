-- Places in a corpus where a neuron fires most: the token, and the words before it.
-- Example: FROM exemplars_of({layer}, {neuron}) LIMIT 10;
CREATE MACRO exemplars_of(of_layer, of_neuron) AS TABLE
SELECT
    e.activation,
    e.token,
    e.context,
    e.rank,
    e.position,
    e.prompt_path
FROM exemplars AS e
WHERE e.layer = of_layer AND e.neuron = of_neuron
ORDER BY abs(activation) DESC, prompt_path, position;
