-- Edges inside top clusters of the primary clustering, sorted by cluster: a copy of those of edges with in_circuit, so that the edges of one
-- circuit are read from one place.

CREATE TABLE edges_inside (
    top_cluster INTEGER NOT NULL,
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    mean_weight FLOAT,
    sign_cancellation FLOAT,
    mean_abs_weight FLOAT GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::FLOAT) VIRTUAL,
    weight_min FLOAT,
    weight_max FLOAT
);

COMMENT ON COLUMN edges_inside.top_cluster IS 'Top cluster of both ends, the first number of cluster_path.';
