-- Findings of investigations of single neurons, one row per file; empty unless reports were imported.

CREATE TABLE reports (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    title VARCHAR,
    summary VARCHAR,
    input_function VARCHAR,
    output_function VARCHAR,
    function_type VARCHAR,
    polarity VARCHAR,
    regime VARCHAR,
    confidence FLOAT,
    verdict VARCHAR,
    skeptic_verdict VARCHAR,
    experiment_count INTEGER,
    findings VARCHAR[],
    open_questions VARCHAR[],
    reported VARCHAR,
    details VARCHAR,
    in_atlas BOOLEAN NOT NULL,
    file VARCHAR NOT NULL
);

COMMENT ON COLUMN reports.kind IS 'investigation, dashboard or review.';
COMMENT ON COLUMN reports.title IS 'Name that the report gives the neuron.';
COMMENT ON COLUMN reports.summary IS 'Final hypothesis or summary of the report about the function of the neuron.';
COMMENT ON COLUMN reports.input_function IS 'Inputs that activate the neuron, according to the report.';
COMMENT ON COLUMN reports.output_function IS 'Effect on the output, according to the report.';
COMMENT ON COLUMN reports.function_type IS 'semantic, routing, formatting, lexical, hybrid, ...';
COMMENT ON COLUMN reports.polarity IS 'Sign of the activations that were studied: positive or negative.';
COMMENT ON COLUMN reports.regime IS 'standard, inverted or mixed: signs of gate and up when the neuron fires.';
COMMENT ON COLUMN reports.confidence IS 'Confidence of the investigator, 0 to 1.';
COMMENT ON COLUMN reports.verdict IS 'Final verdict of the review: APPROVE, MAX_ITERATIONS or ERROR.';
COMMENT ON COLUMN reports.skeptic_verdict IS 'What a second investigator concluded: SUPPORTED, WEAKENED or REFUTED.';
COMMENT ON COLUMN reports.experiment_count IS 'Experiments that were run.';
COMMENT ON COLUMN reports.findings IS 'Key findings.';
COMMENT ON COLUMN reports.open_questions IS 'Questions left open.';
COMMENT ON COLUMN reports.reported IS 'When it was written, as the file says.';
COMMENT ON COLUMN reports.details IS 'Everything else of the file, as JSON.';
