-- Windows of tokens on which activations were collected. Empty without a store of activations.

CREATE TABLE contexts (
    context_id INTEGER NOT NULL,
    document VARCHAR,
    start INTEGER,
    source VARCHAR,
    split VARCHAR,
    token_ids INTEGER[] NOT NULL,
    content_hash VARCHAR,
    attributes MAP(VARCHAR, VARCHAR)
);

COMMENT ON COLUMN contexts.context_id IS 'Number of the context, from 0.';
COMMENT ON COLUMN contexts.document IS 'Document of the corpus that the window is cut from: as its file states, or file, row from 0 and hash of its tokens.';
COMMENT ON COLUMN contexts.start IS 'Place of the first token in the document, from 0.';
COMMENT ON COLUMN contexts.source IS 'Source that the corpus states for the document.';
COMMENT ON COLUMN contexts.split IS 'Half of the documents, by a hash: labels are made on explain and scored on score.';
COMMENT ON COLUMN contexts.token_ids IS 'Tokens; vocabulary has their texts.';
COMMENT ON COLUMN contexts.content_hash IS 'Hash of document, start and tokens.';
COMMENT ON COLUMN contexts.attributes IS 'Further facts by name, as the source states them: attributes[''speaker''].';
