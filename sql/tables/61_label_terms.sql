-- The words of labels and descriptions, in alphabetical order, as `terms_of` cuts them.

CREATE TABLE label_terms (
    term_id INTEGER NOT NULL,
    term VARCHAR NOT NULL,
    label_count INTEGER NOT NULL
);

COMMENT ON COLUMN label_terms.term_id IS 'Number of the word, from 1.';
COMMENT ON COLUMN label_terms.term IS 'Word in lower case, without accents.';
COMMENT ON COLUMN label_terms.label_count IS 'Number of labels with the word in text or description.';
