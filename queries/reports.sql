-- Findings of investigations of one neuron, by kind and file.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $limit BIGINT: at most this many rows
SELECT
    summary,
    kind,
    function_type,
    coalesce(verdict, skeptic_verdict) AS verdict,
    file
FROM reports
WHERE layer = $layer AND neuron = $neuron AND summary IS NOT NULL
ORDER BY kind, file
LIMIT $limit
