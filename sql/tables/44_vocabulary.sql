-- Readable text of every token of the model whose activations were collected.

CREATE TABLE vocabulary (
    token_id BIGINT NOT NULL,
    token VARCHAR NOT NULL,
    is_special BOOLEAN
);

COMMENT ON COLUMN vocabulary.is_special IS 'A token of the tokenizer, such as the beginning of a text, and not of the text.';
