-- Labels of neurons that are a node of no graph: kept, but joined to nothing.
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
