-- The runs that an atlas was made by, in order: what ran, with which parameters, on what, and what came out.

CREATE TABLE experiments (
    run INTEGER NOT NULL,
    command VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    parameters VARCHAR NOT NULL,
    inputs VARCHAR[] NOT NULL,
    output VARCHAR NOT NULL,
    figures VARCHAR NOT NULL,
    seconds DOUBLE,
    finished TIMESTAMP,
    tool_version VARCHAR
);

COMMENT ON COLUMN experiments.run IS 'Number of the run, from 1; the build of the atlas is the last of its runs, and what was added later follows.';
COMMENT ON COLUMN experiments.command IS 'Command of this package that does this: trace, aggregate, cluster, build, add, ...';
COMMENT ON COLUMN experiments.name IS 'Stage of the recipe, or folder that the run wrote.';
COMMENT ON COLUMN experiments.parameters IS 'Options of the run, and what it states about its model, as JSON.';
COMMENT ON COLUMN experiments.inputs IS 'Files or folders that it read, as far as it says.';
COMMENT ON COLUMN experiments.output IS 'File or folder that it wrote.';
COMMENT ON COLUMN experiments.figures IS 'What came out: counts and scores, as JSON.';
COMMENT ON COLUMN experiments.seconds IS 'How long it took, if a recipe ran it.';
COMMENT ON COLUMN experiments.finished IS 'When its output was written, as the file system says (UTC).';
COMMENT ON COLUMN experiments.tool_version IS 'Version of this package that ran it.';
