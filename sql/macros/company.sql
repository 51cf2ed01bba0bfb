-- Neurons in the same graphs as a neuron, most telling first, with their labels; rank orders by shared graphs instead.
-- Example: FROM company({layer}, {neuron}) LIMIT 10;
CREATE MACRO company(of_layer, of_neuron) AS TABLE
SELECT
    c.other_layer AS layer,
    c.other_neuron AS neuron,
    n.label,
    n.cluster_path,
    c.rank,
    c.both_graphs,
    (c.both_graphs / nullif(n.appearance_count, 0))::FLOAT AS share,
    c.lift,
    c.pmi,
    c.npmi
FROM cooccurrence AS c
JOIN neurons AS n ON n.layer = c.other_layer AND n.neuron = c.other_neuron
WHERE c.layer = of_layer AND c.neuron = of_neuron
ORDER BY npmi DESC NULLS LAST, rank;
