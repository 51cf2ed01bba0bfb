-- Features of sparse autoencoders: norms of their weights, and the shape of what they add to the logits.

CREATE TABLE features (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    encoder_norm DOUBLE NOT NULL,
    decoder_norm DOUBLE NOT NULL,
    encoder_bias DOUBLE NOT NULL,
    encoder_decoder_cosine DOUBLE,
    logit_std DOUBLE,
    logit_skew DOUBLE,
    logit_kurtosis DOUBLE
);

COMMENT ON COLUMN features.layer IS 'Block of the dictionary: it reads the residual stream behind it, or the input or output of its MLP.';
COMMENT ON COLUMN features.encoder_norm IS 'Norm of the encoder column.';
COMMENT ON COLUMN features.decoder_norm IS 'Norm of the decoder row.';
COMMENT ON COLUMN features.encoder_bias IS 'Bias of the encoder.';
COMMENT ON COLUMN features.encoder_decoder_cosine IS 'Cosine of encoder column and decoder row.';
COMMENT ON COLUMN features.logit_std IS 'Standard deviation of unembedding . decoder over the vocabulary.';
COMMENT ON COLUMN features.logit_skew IS 'Skew of the same.';
COMMENT ON COLUMN features.logit_kurtosis IS 'Kurtosis of the same; 3 for a normal distribution, far more where the feature promotes few tokens.';
