-- What schema 11 has and schema 10 lacks: the runs that an atlas was made by, of which an earlier atlas says nothing.

CREATE TABLE experiments (
    run INTEGER,
    command VARCHAR,
    name VARCHAR,
    parameters VARCHAR,
    inputs VARCHAR[],
    output VARCHAR,
    figures VARCHAR,
    seconds DOUBLE,
    finished TIMESTAMP,
    tool_version VARCHAR
);
