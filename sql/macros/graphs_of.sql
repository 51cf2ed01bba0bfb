-- Graphs that contain a neuron, with the prompt and the token positions; largest absolute activation first.
-- Example: FROM graphs_of({layer}, {neuron}) LIMIT 10;
CREATE MACRO graphs_of(of_layer, of_neuron) AS TABLE
SELECT
    g.graph_id,
    g.path,
    g.prompt,
    ng.positions,
    [g.prompt_tokens[position + 1] FOR position IN ng.positions] AS tokens,
    ng.activation_min,
    ng.activation_max,
    ng.influence_min,
    ng.influence_max
FROM neuron_graphs AS ng
JOIN graphs AS g ON g.graph_id = ng.graph_id
WHERE ng.layer = of_layer AND ng.neuron = of_neuron
ORDER BY greatest(abs(activation_min), abs(activation_max)) DESC NULLS LAST, graph_id;
