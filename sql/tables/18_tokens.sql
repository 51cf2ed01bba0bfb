-- Vocabulary entries that are an input or a traced output of at least one graph.

CREATE TABLE tokens (
    token_id BIGINT NOT NULL,
    token VARCHAR,
    input_graph_count INTEGER,
    output_graph_count INTEGER,
    probability_max FLOAT,
    PRIMARY KEY (token_id)
);

COMMENT ON COLUMN tokens.token_id IS 'Number of the token in the vocabulary.';
COMMENT ON COLUMN tokens.token IS 'Text of the token; the alphabetically first spelling where graphs spell it in several ways.';
COMMENT ON COLUMN tokens.input_graph_count IS 'Distinct graphs with it in the prompt.';
COMMENT ON COLUMN tokens.output_graph_count IS 'Distinct graphs with it among the traced outputs.';
COMMENT ON COLUMN tokens.probability_max IS 'Its largest output probability.';
