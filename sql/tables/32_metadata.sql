-- Provenance of this file: tool, versions, parameters, seeds, counts and timings.

CREATE TABLE metadata (
    key VARCHAR NOT NULL,
    value VARCHAR,
    PRIMARY KEY (key)
);

COMMENT ON COLUMN metadata.key IS 'Name of the fact.';
COMMENT ON COLUMN metadata.value IS 'The fact, as text.';
