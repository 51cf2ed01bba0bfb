-- Circuits of the primary clustering that contain neurons of the atlas, preferred sizes first, then by flow.
--
-- $min_size INTEGER: prefer circuits of at least this many neurons
-- $max_size INTEGER: prefer circuits of at most this many neurons
-- $limit BIGINT: at most this many rows
SELECT
    cluster_path,
    level,
    size,
    flow
FROM clusters
WHERE EXISTS (
    FROM neurons AS n
    WHERE n.cluster_path = clusters.cluster_path OR starts_with(n.cluster_path, clusters.cluster_path || '.')
)
ORDER BY size BETWEEN coalesce($min_size, 0) AND coalesce($max_size, 2147483647) DESC, flow DESC NULLS LAST, cluster_path
LIMIT $limit
