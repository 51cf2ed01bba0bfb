-- Which label has which word how often; sorted by word.

CREATE TABLE label_postings (
    term_id INTEGER NOT NULL,
    label_id INTEGER NOT NULL,
    text_count UTINYINT NOT NULL,
    description_count UTINYINT NOT NULL
);

COMMENT ON COLUMN label_postings.term_id IS 'Word, a row of label_terms.';
COMMENT ON COLUMN label_postings.label_id IS 'Label, a row of labels.';
COMMENT ON COLUMN label_postings.text_count IS 'How often the word is in the text of the label, at most 255.';
COMMENT ON COLUMN label_postings.description_count IS 'How often it is in the description, at most 255.';
