-- Counts in metadata that differ from the number of rows.
WITH counted(key, value) AS (
    SELECT 'total_neurons', count(*) FROM neurons
    UNION ALL SELECT 'total_edges', count(*) FROM edges
    UNION ALL SELECT 'total_clusters', count(*) FROM clusters
    UNION ALL SELECT 'total_graphs', count(*) FROM graphs
    UNION ALL SELECT 'total_labels', count(*) FROM labels
    UNION ALL SELECT 'rejected_files', count(*) FROM rejects
)
SELECT
    counted.key,
    m.value AS metadata_says,
    counted.value AS row_count
FROM counted
LEFT JOIN metadata AS m USING (key)
WHERE try_cast(m.value AS BIGINT) IS DISTINCT FROM counted.value
ORDER BY ALL;
