-- Labels that `search` looks at: those of neurons of the atlas that say something, with their lengths.

CREATE TABLE label_documents (
    label_id INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    graph_count INTEGER,
    text_term_count SMALLINT NOT NULL,
    description_term_count SMALLINT NOT NULL
);

COMMENT ON COLUMN label_documents.label_id IS 'Label, a row of labels.';
COMMENT ON COLUMN label_documents.text_term_count IS 'Number of words of its text, at most 32,767.';
COMMENT ON COLUMN label_documents.description_term_count IS 'Number of words of its description, at most 32,767.';
