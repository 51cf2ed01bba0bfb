-- Input files that could not be read, with the reason.

CREATE TABLE rejects (
    path VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    size_bytes BIGINT
);

COMMENT ON COLUMN rejects.path IS 'File.';
COMMENT ON COLUMN rejects.size_bytes IS 'Size of the part that was read: uncompressed if decompression worked, otherwise as stored.';
COMMENT ON COLUMN rejects.reason IS 'Reason as a short code that can be counted.';
COMMENT ON COLUMN rejects.message IS 'Reason as a sentence.';
