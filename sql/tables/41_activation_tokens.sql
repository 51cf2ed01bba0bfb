-- Tokens on which a unit is active, and tokens before and behind, by share of its activation.

CREATE TABLE activation_tokens (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    relation VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id BIGINT NOT NULL,
    token VARCHAR,
    active_count BIGINT NOT NULL,
    token_count BIGINT,
    recall DOUBLE,
    precision DOUBLE,
    precision_low DOUBLE,
    precision_high DOUBLE,
    lift DOUBLE,
    mean_active DOUBLE,
    mass_share DOUBLE,
    tfidf DOUBLE
);

COMMENT ON COLUMN activation_tokens.relation IS 'same (the token itself), previous or next; in (of the context) where a unit has one value per context.';
COMMENT ON COLUMN activation_tokens.rank IS 'Rank by mass_share.';
COMMENT ON COLUMN activation_tokens.active_count IS 'Places with this token where the unit is active.';
COMMENT ON COLUMN activation_tokens.token_count IS 'Places with this token that were looked at.';
COMMENT ON COLUMN activation_tokens.recall IS 'active_count over all places where the unit is active.';
COMMENT ON COLUMN activation_tokens.precision IS 'active_count / token_count: how often the token fires the unit.';
COMMENT ON COLUMN activation_tokens.precision_low IS 'Lower bound of precision (Wilson, 95 %).';
COMMENT ON COLUMN activation_tokens.precision_high IS 'Upper bound of precision; of a token that is rare, the interval is wide.';
COMMENT ON COLUMN activation_tokens.lift IS 'precision over density: how much more often than any token.';
COMMENT ON COLUMN activation_tokens.mean_active IS 'Mean activation there.';
COMMENT ON COLUMN activation_tokens.mass_share IS 'Share of the sum of |value| of the unit. Near 1 with a high precision: a unit of one token.';
COMMENT ON COLUMN activation_tokens.tfidf IS 'mass_share times token_stats.idf; of the relation same.';
