-- What schema 12 has and schema 11 lacks: places of circuits on the map.

CREATE TABLE map_discs (
    top_cluster INTEGER,
    x FLOAT,
    y FLOAT
);
