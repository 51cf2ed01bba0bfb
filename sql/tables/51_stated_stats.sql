-- Numbers that files of other tools state about a unit. They are kept as they are, and are in no statistic of this atlas.

CREATE TABLE stated_stats (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    definition VARCHAR NOT NULL
);

COMMENT ON COLUMN stated_stats.name IS 'Name of the number in the file.';
COMMENT ON COLUMN stated_stats.value IS 'The number.';
COMMENT ON COLUMN stated_stats.definition IS 'What it means there.';
