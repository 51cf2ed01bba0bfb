-- Data card: what this atlas is about, what it was made from and how, and what it cannot say.

CREATE TABLE card (
    place INTEGER NOT NULL,
    section VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

COMMENT ON COLUMN card.place IS 'Order of the rows.';
COMMENT ON COLUMN card.section IS 'Model, corpora, method, contents, labels, trust, limits or licences; or a heading that the recipe states under [card].';
COMMENT ON COLUMN card.text IS 'One statement.';
