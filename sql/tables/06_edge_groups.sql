-- Edges within one group of prompts, the unit of replication; sorted by source. Empty if there are too many rows.

CREATE TABLE edge_groups (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER NOT NULL,
    positive_count INTEGER NOT NULL,
    mean_weight FLOAT NOT NULL,
    mean_abs_weight FLOAT NOT NULL,
    std_weight FLOAT NOT NULL
);

COMMENT ON COLUMN edge_groups.count IS 'Number of links in graphs of the group.';
COMMENT ON COLUMN edge_groups.graph_count IS 'Graphs of the group with at least one such link.';
COMMENT ON COLUMN edge_groups.mean_weight IS 'Signed mean of the link weights in the group.';
