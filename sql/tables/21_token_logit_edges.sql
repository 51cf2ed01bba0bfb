-- Input token -> output token, aggregated over all graphs.

CREATE TABLE token_logit_edges (
    src_token_id BIGINT NOT NULL,
    tgt_token_id BIGINT NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    mean_abs_weight FLOAT,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS (mean_abs_weight::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL
);

COMMENT ON COLUMN token_logit_edges.src_token_id IS 'Input token.';
COMMENT ON COLUMN token_logit_edges.tgt_token_id IS 'Output token.';
