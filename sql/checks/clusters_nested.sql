-- Clusters whose parent cluster, one level up in their path, is missing.
SELECT
    c.cluster_path,
    c.level,
    c.parent_path
FROM clusters AS c
LEFT JOIN clusters AS p ON p.cluster_path = c.parent_path
WHERE (c.level > 1 AND p.cluster_path IS NULL)
    OR (c.level = 1 AND c.parent_path IS NOT NULL)
    OR (p.level IS NOT NULL AND p.level <> c.level - 1)
ORDER BY ALL;
