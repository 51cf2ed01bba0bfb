-- Histogram of the kept activations of every unit: two bins per power of two, on either side of zero.

CREATE TABLE activation_histograms (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    sign INTEGER NOT NULL,
    bin INTEGER NOT NULL,
    low DOUBLE NOT NULL,
    high DOUBLE NOT NULL,
    count BIGINT NOT NULL
);

COMMENT ON COLUMN activation_histograms.sign IS '1 or -1.';
COMMENT ON COLUMN activation_histograms.bin IS 'floor(2 * log2(|value|)), the same scheme for all units.';
COMMENT ON COLUMN activation_histograms.low IS 'Smallest |value| of the bin.';
COMMENT ON COLUMN activation_histograms.high IS 'First |value| above the bin.';
COMMENT ON COLUMN activation_histograms.count IS 'Tokens; all bins and the tokens on which the unit is not active add up to token_count.';
