-- Circuits: clusters of the primary clustering at every level, largest first, with label coverage and sample labels.
-- Example: FROM circuits WHERE size BETWEEN 3 AND 60 LIMIT 10;
CREATE VIEW circuits AS
WITH members AS (
    SELECT
        array_to_string(string_split(n.cluster_path, '.')[1:levels.level], '.') AS cluster_path,
        count(n.label) AS labelled_count,
        list(n.label ORDER BY n.infomap_flow DESC, n.layer, n.neuron) FILTER (n.label IS NOT NULL)[1:3] AS sample_labels
    FROM neurons AS n, generate_series(1, n.hierarchy_depth) AS levels(level)
    GROUP BY ALL
)
SELECT
    c.cluster_path,
    c.level,
    c.parent_path,
    c.size,
    c.layer_min,
    c.layer_max,
    c.median_layer,
    c.flow,
    coalesce(m.labelled_count, 0) AS labelled_count,
    m.sample_labels
FROM clusters AS c
LEFT JOIN members AS m USING (cluster_path)
ORDER BY c.size DESC, c.level, c.cluster_path;
COMMENT ON COLUMN circuits.labelled_count IS 'Neurons that have a label.';
COMMENT ON COLUMN circuits.sample_labels IS 'Up to three labels, of the neurons with most flow.';
