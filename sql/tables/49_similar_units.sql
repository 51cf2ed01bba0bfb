-- Features whose weights are alike.

CREATE TABLE similar_units (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    similarity_kind VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    other_layer INTEGER NOT NULL,
    other_unit INTEGER NOT NULL,
    similarity DOUBLE NOT NULL
);

COMMENT ON COLUMN similar_units.similarity_kind IS 'decoder_cosine or encoder_cosine.';
COMMENT ON COLUMN similar_units.rank IS 'Rank by similarity.';
COMMENT ON COLUMN similar_units.other_layer IS 'Layer of the other feature.';
COMMENT ON COLUMN similar_units.other_unit IS 'Number of the other feature.';
COMMENT ON COLUMN similar_units.similarity IS 'The cosine.';
