-- The best match of every cluster in every other clustering, by Jaccard index; 1 where both hold the same neurons.
-- Example: FROM cluster_matches ORDER BY jaccard DESC LIMIT 10;
CREATE VIEW cluster_matches AS
WITH members AS (
    SELECT c.clustering, c.cluster_path, c.size, m.layer, m.neuron
    FROM circuit_members AS m
    JOIN circuits AS c USING (circuit_id)
    WHERE c.kind = 'cluster'
),
pairs AS (
    SELECT
        a.clustering,
        a.cluster_path,
        a.size,
        b.clustering AS other_clustering,
        b.cluster_path AS other_path,
        b.size AS other_size,
        count(*) AS shared_count
    FROM members AS a
    JOIN members AS b ON b.layer = a.layer AND b.neuron = a.neuron AND b.clustering <> a.clustering
    GROUP BY ALL
)
SELECT
    clustering,
    cluster_path,
    size,
    other_clustering,
    other_path,
    other_size,
    shared_count,
    shared_count / (size + other_size - shared_count) AS jaccard
FROM pairs
QUALIFY row_number() OVER (
    PARTITION BY clustering, cluster_path, other_clustering
    ORDER BY shared_count / (size + other_size - shared_count) DESC, other_size, other_path
) = 1
ORDER BY clustering, other_clustering, jaccard DESC, cluster_path;
COMMENT ON COLUMN cluster_matches.other_path IS 'Cluster of the other clustering with the largest Jaccard index.';
COMMENT ON COLUMN cluster_matches.shared_count IS 'Neurons in both.';
COMMENT ON COLUMN cluster_matches.jaccard IS 'Neurons in both / neurons in either.';
COMMENT ON COLUMN cluster_matches.other_clustering IS 'Clustering in which the match is looked for.';
COMMENT ON COLUMN cluster_matches.other_size IS 'Number of neurons of the match.';
