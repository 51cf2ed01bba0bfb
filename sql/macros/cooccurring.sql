-- Neurons that share graphs with a neuron, highest NPMI first, with labels; rank is the order by joint graphs.
-- Example: FROM cooccurring({layer}, {neuron}) LIMIT 10;
CREATE MACRO cooccurring(of_layer, of_neuron) AS TABLE
SELECT
    n.neuron_id,
    c.other_layer AS layer,
    c.other_neuron AS neuron,
    n.label,
    n.cluster_path,
    c.rank,
    c.joint_graph_count,
    (c.joint_graph_count / nullif(n.graph_count, 0))::FLOAT AS share,
    c.lift,
    c.pmi,
    c.npmi
FROM cooccurrence AS c
JOIN neurons AS n ON n.layer = c.other_layer AND n.neuron = c.other_neuron
WHERE c.layer = of_layer AND c.neuron = of_neuron
ORDER BY npmi DESC NULLS LAST, rank;
