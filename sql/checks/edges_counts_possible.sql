-- Edges in more graphs than their ends or links allow, or with more positive or first-half links than links.
SELECT
    e.src_layer,
    e.src_neuron,
    e.tgt_layer,
    e.tgt_neuron,
    e.count,
    e.graph_count,
    e.group_count,
    e.positive_count,
    e.joint_graph_count,
    s.appearance_count AS src_graphs
FROM edges AS e
JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
WHERE e.count < 1
    OR e.graph_count NOT BETWEEN 1 AND e.count
    OR e.positive_count NOT BETWEEN 0 AND e.count
    OR e.half_count NOT BETWEEN 0 AND e.count
    OR e.graph_count > s.appearance_count
    OR e.group_count NOT BETWEEN 1 AND e.graph_count
    OR e.group_count > s.group_count
    OR e.joint_graph_count NOT BETWEEN e.graph_count AND s.appearance_count
ORDER BY ALL;
