-- Clusters of the primary clustering whose size is not the number of neurons in them.
WITH counted AS (
    SELECT
        array_to_string(string_split(cluster_path, '.')[1:level], '.') AS cluster_path,
        count(*) AS member_count
    FROM cluster_members, generate_series(1, hierarchy_depth) AS levels(level)
    WHERE clustering = (SELECT clustering FROM clusterings WHERE is_primary)
    GROUP BY ALL
)
SELECT
    cluster_path,
    c.size,
    coalesce(member_count, 0) AS member_count
FROM clusters AS c
FULL JOIN counted USING (cluster_path)
WHERE c.size IS DISTINCT FROM member_count
ORDER BY ALL;
