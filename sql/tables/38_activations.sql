-- Kept activations of units on tokens, sorted by unit. Empty if the store is beside the atlas (metadata.activations).

CREATE TABLE activations (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    context_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    value FLOAT NOT NULL
);

COMMENT ON COLUMN activations.unit IS 'Neuron of the layer, or feature of its dictionary, as unit_type says.';
COMMENT ON COLUMN activations.position IS 'Token of the context, from 0; -1 where a unit has one value per context.';
COMMENT ON COLUMN activations.value IS 'Activation, of either sign; kept if |value| is above activation_stats.threshold.';
