-- Discs of the map: a disc for each top cluster of the primary clustering, laid out when the atlas is built; circuits that drive each other lie
-- together. Empty where the atlas was built without numpy, or by an earlier version: the query constellation has places for them then.

CREATE TABLE map_discs (
    top_cluster INTEGER NOT NULL,
    x FLOAT NOT NULL,
    y FLOAT NOT NULL
);

COMMENT ON COLUMN map_discs.top_cluster IS 'The circuit.';
COMMENT ON COLUMN map_discs.x IS 'Place of its middle; the map has its middle at 0. The radius of the disc is the square root of its number of neurons.';
COMMENT ON COLUMN map_discs.y IS 'The same upwards.';
