-- Append runs to the table of experiments, in the order in which they are given; `input.runs` holds them.

INSERT INTO experiments BY NAME
SELECT
    (coalesce((SELECT max(run) FROM experiments), 0) + row_number() OVER (ORDER BY place))::INTEGER AS run,
    command,
    name,
    parameters,
    inputs,
    output,
    figures,
    seconds,
    finished,
    tool_version
FROM input.runs
ORDER BY place;

DROP TABLE input.runs;
