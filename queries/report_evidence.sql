-- Evidence of the investigations of one neuron: prompts, ablations, steering, connections, hypotheses, tests and reviews, with their files.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
-- $limit BIGINT: at most this many rows
SELECT
    kind,
    rank,
    prompt,
    token,
    CASE WHEN other_layer IS NOT NULL THEN 'L' || other_layer || '/N' || other_neuron END AS other_id,
    value,
    text,
    file
FROM report_examples
WHERE layer = $layer AND neuron = $neuron
ORDER BY kind, file, rank
LIMIT $limit
