-- All tables, views and macros of this file, each with a description and an example to paste. Start here.

CREATE TABLE help (
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    example VARCHAR
);

COMMENT ON COLUMN help.name IS 'Name of the table, view or macro.';
COMMENT ON COLUMN help.kind IS 'table, view or macro.';
COMMENT ON COLUMN help.description IS 'Description of its contents or result.';
COMMENT ON COLUMN help.example IS 'SQL to paste.';
