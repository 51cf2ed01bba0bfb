-- Neurons whose in_degree or out_degree is not the number of their edges.
SELECT
    n.layer,
    n.neuron,
    n.in_degree,
    coalesce(i.edge_count, 0) AS in_edges,
    n.out_degree,
    coalesce(o.edge_count, 0) AS out_edges
FROM neurons AS n
LEFT JOIN (SELECT tgt_layer AS layer, tgt_neuron AS neuron, count(*) AS edge_count FROM edges GROUP BY ALL) AS i
    USING (layer, neuron)
LEFT JOIN (SELECT src_layer AS layer, src_neuron AS neuron, count(*) AS edge_count FROM edges GROUP BY ALL) AS o
    USING (layer, neuron)
WHERE n.in_degree <> coalesce(i.edge_count, 0) OR n.out_degree <> coalesce(o.edge_count, 0)
ORDER BY ALL;
