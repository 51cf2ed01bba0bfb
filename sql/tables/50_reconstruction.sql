-- How well each dictionary reconstructs the residual stream on a text.

CREATE TABLE reconstruction (
    layer INTEGER NOT NULL,
    text VARCHAR NOT NULL,
    token_count BIGINT NOT NULL,
    feature_count BIGINT NOT NULL,
    l0 DOUBLE,
    fvu DOUBLE,
    mse DOUBLE,
    dead_count BIGINT,
    loss DOUBLE,
    loss_reconstructed DOUBLE,
    loss_zero DOUBLE,
    loss_recovered DOUBLE
);

COMMENT ON COLUMN reconstruction.text IS 'Text that it was measured on.';
COMMENT ON COLUMN reconstruction.token_count IS 'Tokens that were looked at.';
COMMENT ON COLUMN reconstruction.feature_count IS 'Features of the dictionary.';
COMMENT ON COLUMN reconstruction.l0 IS 'Mean number of active features per token.';
COMMENT ON COLUMN reconstruction.fvu IS 'Fraction of variance unexplained: sum |x - x_hat|^2 / sum |x - mean|^2 over all tokens.';
COMMENT ON COLUMN reconstruction.mse IS 'Mean squared error per element.';
COMMENT ON COLUMN reconstruction.dead_count IS 'Features that are active on none of these tokens.';
COMMENT ON COLUMN reconstruction.loss IS 'Cross entropy of the model, in nats per token.';
COMMENT ON COLUMN reconstruction.loss_reconstructed IS 'The same with the residual stream replaced by its reconstruction.';
COMMENT ON COLUMN reconstruction.loss_zero IS 'The same with the residual stream replaced by zeros.';
COMMENT ON COLUMN reconstruction.loss_recovered IS '(loss_zero - loss_reconstructed) / (loss_zero - loss).';
