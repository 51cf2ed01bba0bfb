-- Runs that the atlas was made by, in order: command, parameters, what they read, what came out, how long they took.
--
-- $limit BIGINT: at most this many rows
SELECT
    run,
    command,
    name,
    parameters,
    inputs,
    output,
    figures,
    seconds,
    finished,
    tool_version
FROM experiments
ORDER BY run
LIMIT $limit
