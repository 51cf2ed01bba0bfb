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

COMMENT ON COLUMN projections.projection_kind IS 'Product of weights: output, input_up or input_gated; or output_token, a token predicted in graphs that contain the neuron (weight is its frequency).';
COMMENT ON COLUMN projections.direction IS 'promotes or suppresses; activates or suppresses for inputs.';
COMMENT ON COLUMN projections.rank IS '1 is the strongest.';
COMMENT ON COLUMN projections.weight IS 'Value of the product.';
