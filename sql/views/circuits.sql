-- Circuits (top clusters) by size, with layers, flow, label coverage and three sample labels.
-- Example: FROM circuits LIMIT 10;
CREATE VIEW circuits AS
SELECT
    c.top_cluster,
    c.size,
    c.layer_min,
    c.layer_max,
    c.median_layer,
    c.flow,
    count(n.label) AS labelled_count,
    list(n.label ORDER BY n.infomap_flow DESC, n.layer, n.neuron) FILTER (n.label IS NOT NULL)[1:3] AS sample_labels
FROM clusters AS c
JOIN neurons AS n ON n.top_cluster = c.top_cluster
WHERE c.level = 1
GROUP BY ALL
ORDER BY c.size DESC, c.top_cluster;
COMMENT ON COLUMN circuits.labelled_count IS 'Neurons that have a label.';
COMMENT ON COLUMN circuits.sample_labels IS 'Up to three labels, of the neurons with most flow.';
