-- Neurons whose label is not their label of rank 1, and labels of rank 1 marked in_atlas whose neuron is missing.
SELECT
    layer,
    neuron,
    n.label,
    l.text AS first_label
FROM neurons AS n
FULL JOIN (SELECT layer, neuron, text FROM labels WHERE rank = 1 AND in_atlas) AS l USING (layer, neuron)
WHERE n.label IS DISTINCT FROM l.text
ORDER BY ALL;
