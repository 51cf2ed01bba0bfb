-- All inputs of this atlas.

CREATE TABLE sources (
    path VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    size_bytes BIGINT,
    content_hash VARCHAR
);

COMMENT ON COLUMN sources.path IS 'File, or traced prompt.';
COMMENT ON COLUMN sources.size_bytes IS 'Size; of a graph unpacked, of other files as stored.';
COMMENT ON COLUMN sources.content_hash IS 'SHA-256: of the uncompressed bytes for graphs, of the stored bytes for other files.';
COMMENT ON COLUMN sources.role IS 'graph, labels, recipe, model, prompts, or the kind of an imported file.';
