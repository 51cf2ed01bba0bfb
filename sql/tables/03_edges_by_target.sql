-- The same rows as edges, sorted by target. Filter on tgt_layer and tgt_neuron here.

CREATE TABLE edges_by_target (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    sign_cancellation FLOAT,
    mean_abs_weight FLOAT GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::FLOAT) VIRTUAL,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    half_count INTEGER,
    half_mean_weight FLOAT,
    joint_graph_count INTEGER,
    lift FLOAT,
    npmi FLOAT,
    conditional_frequency FLOAT GENERATED ALWAYS AS (graph_count / nullif(joint_graph_count, 0)) VIRTUAL,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL,
    in_circuit BOOLEAN NOT NULL,
    method VARCHAR NOT NULL,
    stat_quality VARCHAR NOT NULL
);
