-- Edges by group of prompts in the selected graphs, from their links: the table `edges_by_group`.
-- Before: the views `given_nodes` and `given_links`, and the table `graph_buckets`.
CREATE TABLE edges_by_group AS
SELECT
    s.layer AS src_layer,
    s.neuron AS src_neuron,
    t.layer AS tgt_layer,
    t.neuron AS tgt_neuron,
    b.group_id,
    count(*) AS count,
    count(DISTINCT l.graph_id) AS graph_count,
    sum(l.weight::DOUBLE) AS weight_sum,
    sum(abs(l.weight::DOUBLE)) AS weight_abs_sum
FROM given_links AS l
JOIN graph_buckets AS b USING (graph_id)
JOIN given_nodes AS s ON s.graph_id = l.graph_id AND s.node = l.source AND s.kind = 'neuron'
JOIN given_nodes AS t ON t.graph_id = l.graph_id AND t.node = l.target AND t.kind = 'neuron'
GROUP BY ALL
