-- All labels of one neuron, the label shown first, uninformative labels last.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: index of the neuron
SELECT
    rank,
    kind,
    text,
    description,
    source,
    sources,
    model,
    confidence,
    score,
    is_uninformative,
    file
FROM labels
WHERE layer = $layer AND neuron = $neuron AND is_of_atlas
ORDER BY rank NULLS LAST, file, text
