-- Neurons that share most graphs with each neuron, two at least, linked or not; sorted by neuron. npmi ranks specific ones first.

CREATE TABLE cooccurrence (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    other_layer INTEGER NOT NULL,
    other_neuron INTEGER NOT NULL,
    joint_graph_count INTEGER NOT NULL,
    lift FLOAT,
    pmi FLOAT,
    npmi FLOAT
);

COMMENT ON COLUMN cooccurrence.rank IS 'Rank by shared graphs, from 1; among equals, the rarer other neuron comes first.';
COMMENT ON COLUMN cooccurrence.other_layer IS 'Layer of the other neuron.';
COMMENT ON COLUMN cooccurrence.other_neuron IS 'Index of the other neuron within its layer.';
COMMENT ON COLUMN cooccurrence.pmi IS 'Pointwise mutual information of being in one graph, in nats: ln(lift).';
