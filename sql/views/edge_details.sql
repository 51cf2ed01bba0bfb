-- Edges with the labels and clusters of both ends, and frequency: the share of the source's graphs with the edge.
-- Example: FROM edge_details WHERE src_layer = {layer} AND src_neuron = {neuron} ORDER BY mean_abs_weight DESC LIMIT 10;
CREATE VIEW edge_details AS
SELECT
    e.src_layer,
    e.src_neuron,
    e.tgt_layer,
    e.tgt_neuron,
    s.label AS src_label,
    t.label AS tgt_label,
    s.cluster_path AS src_cluster_path,
    t.cluster_path AS tgt_cluster_path,
    e.count,
    e.graph_count,
    e.group_count,
    (e.graph_count / nullif(s.graph_count, 0))::FLOAT AS frequency,
    e.joint_graph_count,
    e.conditional_frequency,
    e.lift,
    e.npmi,
    (e.positive_count / e.count)::FLOAT AS positive_share,
    e.mean_weight,
    e.mean_abs_weight,
    e.std_weight,
    e.weight_min,
    e.weight_max,
    e.mean_weight_all,
    x.mean_share,
    x.strong_graph_count,
    x.strong_group_count,
    x.mean_derivative,
    x.same_sign_share,
    x.same_position_count,
    x.joint_group_count,
    x.association_p,
    e.method
FROM edges AS e
JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
LEFT JOIN edge_strengths AS x
    ON x.src_layer = e.src_layer AND x.src_neuron = e.src_neuron AND x.tgt_layer = e.tgt_layer AND x.tgt_neuron = e.tgt_neuron;
COMMENT ON COLUMN edge_details.src_label IS 'Label of the source.';
COMMENT ON COLUMN edge_details.tgt_label IS 'Label of the target.';
COMMENT ON COLUMN edge_details.src_cluster_path IS 'Cluster of the source in the primary clustering.';
COMMENT ON COLUMN edge_details.tgt_cluster_path IS 'Cluster of the target in the primary clustering.';
COMMENT ON COLUMN edge_details.frequency IS 'graph_count / distinct graphs of the source: 1 means always; never above 1.';
COMMENT ON COLUMN edge_details.positive_share IS 'positive_count / count: near 1 for excitation, near 0 for inhibition, near 0.5 for mixed signs.';
