-- Tokens that the decoder of a feature promotes or suppresses.

CREATE TABLE feature_tokens (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    projection_kind VARCHAR NOT NULL,
    direction VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id BIGINT NOT NULL,
    token VARCHAR NOT NULL,
    weight DOUBLE NOT NULL,
    centred_weight DOUBLE
);

COMMENT ON COLUMN feature_tokens.projection_kind IS 'output (unembedding . decoder), or output_folded (with the gain of the final norm).';
COMMENT ON COLUMN feature_tokens.direction IS 'promotes or suppresses.';
COMMENT ON COLUMN feature_tokens.weight IS 'Value of the product.';
COMMENT ON COLUMN feature_tokens.centred_weight IS 'weight minus its mean over the vocabulary.';
