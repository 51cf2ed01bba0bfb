-- Tokens that a neuron's weights promote, suppress or respond to; empty unless weights were read.

CREATE TABLE projections (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    projection_kind VARCHAR NOT NULL,
    direction VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id BIGINT,
    token VARCHAR,
    weight FLOAT NOT NULL
);

COMMENT ON COLUMN projections.projection_kind IS 'Which product of weights: output, input_up, input_gated; or output_token: a token that is predicted where the neuron is a node (weight: how often).';
COMMENT ON COLUMN projections.direction IS 'promotes or suppresses; activates or suppresses for inputs.';
COMMENT ON COLUMN projections.rank IS '1 is the strongest.';
COMMENT ON COLUMN projections.weight IS 'Value of the product.';
