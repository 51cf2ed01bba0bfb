-- How often every token was looked at, and its inverse document frequency over contexts.

CREATE TABLE token_stats (
    token_id BIGINT NOT NULL,
    token VARCHAR,
    token_count BIGINT NOT NULL,
    context_count BIGINT NOT NULL,
    idf DOUBLE NOT NULL
);

COMMENT ON COLUMN token_stats.token_count IS 'Places with the token that were looked at.';
COMMENT ON COLUMN token_stats.context_count IS 'Contexts with the token.';
COMMENT ON COLUMN token_stats.idf IS 'ln((1 + contexts) / (1 + context_count)).';
