-- Evidence of reports, one row each: prompts, ablations, steering, connections, hypotheses, tests and reviews.

CREATE TABLE report_examples (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    prompt VARCHAR,
    token VARCHAR,
    position INTEGER,
    other_layer INTEGER,
    other_neuron INTEGER,
    value FLOAT,
    text VARCHAR,
    details VARCHAR,
    file VARCHAR NOT NULL
);

COMMENT ON COLUMN report_examples.kind IS 'activating, non_activating, negatively_activating, promotes, suppresses, steering, upstream, downstream, relp, hypothesis, test or review.';
COMMENT ON COLUMN report_examples.rank IS 'Place in its list, from 1.';
COMMENT ON COLUMN report_examples.prompt IS 'Prompt of the experiment.';
COMMENT ON COLUMN report_examples.token IS 'Token that fires, or that is promoted or suppressed.';
COMMENT ON COLUMN report_examples.position IS 'Token position in the prompt.';
COMMENT ON COLUMN report_examples.value IS 'Activation, shift of a logit, weight of a connection, or probability of a hypothesis.';
COMMENT ON COLUMN report_examples.text IS 'Label of the other neuron, hypothesis with its status, test or feedback.';
COMMENT ON COLUMN report_examples.details IS 'Everything else of the item, as JSON.';
