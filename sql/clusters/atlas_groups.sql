-- Edges by group of prompts as a stats folder has them, from those of an atlas: the view `edges_by_group`.
-- Before: the view `given_edge_groups`.
CREATE VIEW edges_by_group AS
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    group_id,
    count,
    graph_count,
    mean_weight::DOUBLE * count AS weight_sum,
    mean_abs_weight::DOUBLE * count AS weight_abs_sum
FROM given_edge_groups
