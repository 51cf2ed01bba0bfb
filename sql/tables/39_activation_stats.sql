-- How often and how strongly every unit of a store of activations is active, with denominators.

CREATE TABLE activation_stats (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    threshold DOUBLE NOT NULL,
    token_count BIGINT,
    context_count BIGINT NOT NULL,
    active_count BIGINT NOT NULL,
    active_context_count BIGINT NOT NULL,
    positive_count BIGINT NOT NULL,
    density DOUBLE,
    density_low DOUBLE,
    density_high DOUBLE,
    is_dead BOOLEAN,
    is_dense BOOLEAN,
    mean_active DOUBLE,
    std_active DOUBLE,
    min_active DOUBLE,
    max_active DOUBLE,
    quantiles DOUBLE[],
    duplicate_context_count BIGINT,
    mean_all DOUBLE,
    mean_sq_all DOUBLE,
    token_entropy DOUBLE,
    is_single_token BOOLEAN
);

COMMENT ON COLUMN activation_stats.threshold IS 'A unit is active where |value| is above it.';
COMMENT ON COLUMN activation_stats.token_count IS 'Tokens that were looked at, without skipped ones; the denominator of density. NULL where contexts were chosen for their activations.';
COMMENT ON COLUMN activation_stats.context_count IS 'Contexts that were looked at.';
COMMENT ON COLUMN activation_stats.active_count IS 'Tokens on which the unit is active.';
COMMENT ON COLUMN activation_stats.active_context_count IS 'Contexts in which it is active on any token.';
COMMENT ON COLUMN activation_stats.positive_count IS 'Tokens on which it is active with a positive value.';
COMMENT ON COLUMN activation_stats.density IS 'active_count / token_count. Tokens of one context are not independent.';
COMMENT ON COLUMN activation_stats.density_low IS 'Lower bound of density (Wilson, 95 %, as if tokens were independent).';
COMMENT ON COLUMN activation_stats.density_high IS 'Upper bound of density; of a dead unit, all that is known.';
COMMENT ON COLUMN activation_stats.is_dead IS 'Never active on token_count tokens.';
COMMENT ON COLUMN activation_stats.is_dense IS 'Active on more than 10 % of the tokens.';
COMMENT ON COLUMN activation_stats.mean_active IS 'Mean over the tokens on which it is active.';
COMMENT ON COLUMN activation_stats.std_active IS 'Sample standard deviation over them.';
COMMENT ON COLUMN activation_stats.min_active IS 'Smallest value over them.';
COMMENT ON COLUMN activation_stats.max_active IS 'Largest value over them.';
COMMENT ON COLUMN activation_stats.quantiles IS 'Exact quantiles over them: 1, 5, 25, 50, 75, 95, 99 and 99.9 %.';
COMMENT ON COLUMN activation_stats.duplicate_context_count IS 'Contexts left out of the examples because the six tokens up to the peak are those of a stronger one.';
COMMENT ON COLUMN activation_stats.mean_all IS 'Sum of the kept activations over token_count.';
COMMENT ON COLUMN activation_stats.mean_sq_all IS 'Sum of their squares over token_count.';
COMMENT ON COLUMN activation_stats.token_entropy IS 'Entropy of the tokens on which the unit is active, in bits; 0 if it is always the same token.';
COMMENT ON COLUMN activation_stats.is_single_token IS 'One token has 90 % of the sum of |value|, and fires the unit on half of its places or more.';
