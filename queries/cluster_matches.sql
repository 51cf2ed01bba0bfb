-- The best match of every cluster in another clustering, most alike first.
--
-- $clustering VARCHAR: only clusters of this clustering
-- $other VARCHAR: only matches in this clustering
-- $limit BIGINT: at most this many rows
SELECT *
FROM cluster_matches
WHERE ($clustering IS NULL OR clustering = $clustering)
    AND ($other IS NULL OR other_clustering = $other)
ORDER BY jaccard DESC, clustering, other_clustering, cluster_path
LIMIT $limit
