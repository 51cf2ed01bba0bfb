-- Edges by group of the selected graphs of an atlas, from the links of its graphs.
SELECT
    s.layer AS src_layer,
    s.neuron AS src_neuron,
    t.layer AS tgt_layer,
    t.neuron AS tgt_neuron,
    chosen.name,
    count(DISTINCT l.graph_id) AS graphs,
    count(*) AS links,
    sum(l.weight::DOUBLE) AS weight_sum
FROM {source}.graph_links AS l
JOIN {selected} AS chosen USING (graph_id)
JOIN {source}.graph_nodes AS s ON s.graph_id = l.graph_id AND s.node = l.source AND s.kind = 'neuron'
JOIN {source}.graph_nodes AS t ON t.graph_id = l.graph_id AND t.node = l.target AND t.kind = 'neuron'
SEMI JOIN {source}.edges AS e
    ON e.src_layer = s.layer AND e.src_neuron = s.neuron AND e.tgt_layer = t.layer AND e.tgt_neuron = t.neuron
GROUP BY ALL
