-- Neurons whose weights write to the encoder of a feature, or read its decoder.

CREATE TABLE feature_neurons (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    relation VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    neuron_layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    weight DOUBLE NOT NULL,
    cosine DOUBLE NOT NULL
);

COMMENT ON COLUMN feature_neurons.relation IS 'written_by (neurons up to the layer of the feature), or read_by (gates of neurons behind it).';
COMMENT ON COLUMN feature_neurons.rank IS 'Rank by the size of the cosine.';
COMMENT ON COLUMN feature_neurons.neuron_layer IS 'Layer of the neuron.';
COMMENT ON COLUMN feature_neurons.neuron IS 'Number of the neuron.';
COMMENT ON COLUMN feature_neurons.weight IS 'Product of the weights of neuron and feature.';
COMMENT ON COLUMN feature_neurons.cosine IS 'weight over both norms.';
