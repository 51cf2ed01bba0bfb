-- All labels from all label files, including labels of neurons that are in no graph.

CREATE TABLE labels (
    label_id INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    rank INTEGER,
    kind VARCHAR,
    text VARCHAR,
    description VARCHAR,
    source VARCHAR,
    model VARCHAR,
    confidence VARCHAR,
    interpretability VARCHAR,
    type VARCHAR,
    score DOUBLE,
    num_exemplars INTEGER,
    max_activation FLOAT,
    is_uninformative BOOLEAN NOT NULL,
    in_atlas BOOLEAN NOT NULL,
    file VARCHAR NOT NULL,
    sources VARCHAR[],
    subject_model VARCHAR,
    dictionary VARCHAR,
    is_of_atlas BOOLEAN NOT NULL
);

COMMENT ON COLUMN labels.label_id IS 'Number of the label.';
COMMENT ON COLUMN labels.rank IS '1 is the label that neurons shows; NULL for uninformative labels and for labels of other units.';
COMMENT ON COLUMN labels.kind IS 'output, input, activation+ or activation-; NULL where the file does not say.';
COMMENT ON COLUMN labels.text IS 'The label.';
COMMENT ON COLUMN labels.description IS 'Longer text of the label.';
COMMENT ON COLUMN labels.source IS 'Author or tool that wrote the label.';
COMMENT ON COLUMN labels.model IS 'Model that wrote it, where stated.';
COMMENT ON COLUMN labels.confidence IS 'Confidence as its source states it.';
COMMENT ON COLUMN labels.interpretability IS 'Interpretability as its source states it.';
COMMENT ON COLUMN labels.type IS 'Function type as its source states it: semantic, routing, ...';
COMMENT ON COLUMN labels.score IS 'Score as stated by its source; for labels from graphs, the number of graphs with this text.';
COMMENT ON COLUMN labels.max_activation IS 'Largest activation over its exemplars, as its file states.';
COMMENT ON COLUMN labels.is_uninformative IS 'Whether the text is uninformative (unknown, uninterpretable, empty); such labels are kept but never shown.';
COMMENT ON COLUMN labels.in_atlas IS 'Whether the label is of a neuron that has a row in neurons.';
COMMENT ON COLUMN labels.file IS 'File it was read from.';
COMMENT ON COLUMN labels.sources IS 'Every source that states this label of this neuron; source is the first of them.';
COMMENT ON COLUMN labels.subject_model IS 'Model whose unit the label is about, where its file says so.';
COMMENT ON COLUMN labels.dictionary IS 'Transcoder or SAE set whose feature the label is about, where its file says so.';
COMMENT ON COLUMN labels.is_of_atlas IS 'False if subject_model or dictionary differs from that of the atlas; such labels are kept but never shown.';
