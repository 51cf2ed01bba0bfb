-- Provenance of this atlas: tool, versions, parameters, seeds, counts and timings.
SELECT
    key,
    value
FROM metadata
ORDER BY key
