-- Every input file that could not be read, and why.

CREATE TABLE rejects (
    path VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    size_bytes BIGINT
);

COMMENT ON COLUMN rejects.path IS 'File.';
COMMENT ON COLUMN rejects.size_bytes IS 'Size as far as it was read: unpacked where unpacking worked, else as stored.';
COMMENT ON COLUMN rejects.reason IS 'Why, in a word that can be counted.';
COMMENT ON COLUMN rejects.message IS 'Why, in a sentence.';
