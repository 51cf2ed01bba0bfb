-- Counts of labels and clusters for `metadata`: those that change where either is added to an atlas.
CREATE VIEW input.counts AS
SELECT 'total_clusters' AS key, count(*)::VARCHAR AS value FROM atlas.clusters
UNION ALL SELECT 'total_labels', count(*)::VARCHAR FROM atlas.labels
UNION ALL SELECT 'labels_in_atlas', count(*)::VARCHAR FROM atlas.labels WHERE in_atlas
UNION ALL SELECT 'labels_not_in_atlas', count(*)::VARCHAR FROM atlas.labels WHERE NOT in_atlas
-- Labels of features that the atlas holds are shown on their pages.
UNION ALL SELECT 'labels_of_other_units', count(*)::VARCHAR
    FROM atlas.labels AS l
    WHERE NOT is_of_atlas
        AND NOT EXISTS (FROM atlas.features AS f WHERE f.layer = l.layer AND f.unit = l.neuron)
        AND NOT EXISTS (
            FROM atlas.activation_stats AS s
            WHERE s.unit_type = 'feature' AND s.layer = l.layer AND s.unit = l.neuron
        )
UNION ALL SELECT 'labelled_neurons', count(*)::VARCHAR FROM atlas.neurons WHERE label IS NOT NULL
UNION ALL SELECT 'clustered_neurons', count(*)::VARCHAR FROM atlas.neurons WHERE cluster_path IS NOT NULL
UNION ALL SELECT 'clustered_not_in_atlas', count(*)::VARCHAR
    FROM atlas.cluster_members AS m
    ANTI JOIN atlas.neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
    WHERE clustering = (SELECT clustering FROM atlas.clusterings WHERE is_primary);
