-- Labels of neurons that are in no graph; they are kept, but match no row of neurons.
-- Example: FROM unmatched_labels LIMIT 20;
CREATE VIEW unmatched_labels AS
SELECT
    layer,
    neuron,
    kind,
    text,
    source,
    file
FROM labels
WHERE NOT in_atlas
ORDER BY layer, neuron, rank NULLS LAST;
