-- Units that are active on the same tokens, best partners first. Empty if there were too many pairs.

CREATE TABLE coactivation (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    other_unit_type VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    other_layer INTEGER NOT NULL,
    other_unit INTEGER NOT NULL,
    joint_count BIGINT NOT NULL,
    active_count BIGINT NOT NULL,
    other_count BIGINT NOT NULL,
    jaccard DOUBLE NOT NULL,
    cosine DOUBLE NOT NULL,
    pearson DOUBLE,
    pmi DOUBLE,
    npmi DOUBLE,
    association_p DOUBLE
);

COMMENT ON COLUMN coactivation.other_unit_type IS 'Unit type of the partner: features also have neurons as partners.';
COMMENT ON COLUMN coactivation.other_layer IS 'Layer of the partner.';
COMMENT ON COLUMN coactivation.other_unit IS 'Unit of the partner.';
COMMENT ON COLUMN coactivation.rank IS 'Rank of the partner by jaccard, among those of its unit type.';
COMMENT ON COLUMN coactivation.joint_count IS 'Tokens on which both are active, 5 or more.';
COMMENT ON COLUMN coactivation.active_count IS 'Tokens on which the unit is active.';
COMMENT ON COLUMN coactivation.other_count IS 'Tokens on which the partner is active.';
COMMENT ON COLUMN coactivation.jaccard IS 'joint_count / (active_count + other_count - joint_count).';
COMMENT ON COLUMN coactivation.cosine IS 'Cosine of the kept activations over all tokens, 0 where one is not active.';
COMMENT ON COLUMN coactivation.pearson IS 'Correlation of the kept activations over all tokens, also those on which neither is active.';
COMMENT ON COLUMN coactivation.npmi IS 'pmi over -log2(joint_count / token_count): 1 if they are always active together.';
COMMENT ON COLUMN coactivation.pmi IS 'log2 of joint_count over the number expected of independent units.';
COMMENT ON COLUMN coactivation.association_p IS 'G-test of more joint tokens than independence gives (one-sided), as if tokens were independent.';
