-- Show the primary clustering in `neurons` and `edges`, after it has changed.

UPDATE neurons
SET
    cluster_path = member.cluster_path,
    top_cluster = member.top_cluster,
    sub_module = member.sub_module,
    subsub_module = member.subsub_module,
    hierarchy_depth = member.hierarchy_depth,
    infomap_flow = member.flow,
    cluster_confidence = member.confidence,
    left_out = CASE WHEN member.cluster_path IS NULL THEN coalesce(member.reason, 'weak') END
FROM (
    SELECT n.layer, n.neuron, m.* EXCLUDE (layer, neuron, clustering), l.reason
    FROM neurons AS n
    LEFT JOIN (
        FROM cluster_members
        WHERE clustering = (SELECT clustering FROM clusterings WHERE is_primary)
    ) AS m USING (layer, neuron)
    LEFT JOIN input.left_out AS l USING (layer, neuron)
) AS member
WHERE member.layer = neurons.layer AND member.neuron = neurons.neuron;

CREATE TABLE input.in_one_cluster AS
SELECT e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron, coalesce(s.top_cluster = t.top_cluster, false) AS is_inside
FROM (SELECT DISTINCT src_layer, src_neuron, tgt_layer, tgt_neuron FROM edges) AS e
LEFT JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
LEFT JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron;

UPDATE edges SET in_circuit = i.is_inside
FROM input.in_one_cluster AS i
WHERE (i.src_layer, i.src_neuron, i.tgt_layer, i.tgt_neuron) = (edges.src_layer, edges.src_neuron, edges.tgt_layer, edges.tgt_neuron);

UPDATE edges_by_target SET in_circuit = i.is_inside
FROM input.in_one_cluster AS i
WHERE (i.src_layer, i.src_neuron, i.tgt_layer, i.tgt_neuron)
    = (edges_by_target.src_layer, edges_by_target.src_neuron, edges_by_target.tgt_layer, edges_by_target.tgt_neuron);
