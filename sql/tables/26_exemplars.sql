-- Places in a corpus where a neuron fires most, for each sign of its activation; empty unless a model was run.

CREATE TABLE exemplars (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    sign INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    activation FLOAT NOT NULL,
    token_id BIGINT NOT NULL,
    token VARCHAR,
    context VARCHAR,
    position INTEGER NOT NULL,
    prompt_path VARCHAR NOT NULL
);

COMMENT ON COLUMN exemplars.sign IS '1 or -1: the sign of the activation.';
COMMENT ON COLUMN exemplars.activation IS 'Activation at this token.';
COMMENT ON COLUMN exemplars.context IS 'The words in front of the token.';
COMMENT ON COLUMN exemplars.position IS 'Token position in the prompt.';
COMMENT ON COLUMN exemplars.prompt_path IS 'Prompt, as graphs.path names its graph.';
