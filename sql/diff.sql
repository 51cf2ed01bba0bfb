-- How two atlases differ: facts of `metadata`, numbers of rows by table, and how many neurons, edges, labels and clusters are new, gone or changed.
-- The catalogs `old` and `new` hold the two.
WITH facts AS (
    SELECT
        coalesce(o.key, n.key) AS name,
        o.value AS old_value,
        n.value AS new_value
    FROM old.metadata AS o
    FULL JOIN new.metadata AS n USING (key)
    WHERE o.value IS DISTINCT FROM n.value
        AND coalesce(o.key, n.key) NOT IN ('atlas_id', 'created', 'seconds_atlas')
        AND NOT starts_with(coalesce(o.key, n.key), 'total_')
),
neurons AS (
    SELECT
        count(*) FILTER (o.layer IS NULL) AS added,
        count(*) FILTER (n.layer IS NULL) AS removed,
        count(*) FILTER (
            o.layer IS NOT NULL AND n.layer IS NOT NULL
            AND (o.appearance_count IS DISTINCT FROM n.appearance_count OR o.in_degree <> n.in_degree OR o.out_degree <> n.out_degree)
        ) AS changed,
        count(*) AS total
    FROM old.neurons AS o
    FULL JOIN new.neurons AS n USING (layer, neuron)
),
labels AS (
    SELECT
        count(*) FILTER (o.label IS NULL AND n.label IS NOT NULL) AS added,
        count(*) FILTER (o.label IS NOT NULL AND n.label IS NULL) AS removed,
        count(*) FILTER (o.label <> n.label) AS changed,
        count(*) AS total
    FROM old.neurons AS o
    FULL JOIN new.neurons AS n USING (layer, neuron)
    WHERE o.label IS NOT NULL OR n.label IS NOT NULL
),
edges AS (
    SELECT
        count(*) FILTER (o.src_layer IS NULL) AS added,
        count(*) FILTER (n.src_layer IS NULL) AS removed,
        count(*) FILTER (
            o.src_layer IS NOT NULL AND n.src_layer IS NOT NULL
            AND (o.count <> n.count OR o.mean_weight IS DISTINCT FROM n.mean_weight OR o.graph_count IS DISTINCT FROM n.graph_count)
        ) AS changed,
        count(*) AS total
    FROM old.edges AS o
    FULL JOIN new.edges AS n USING (src_layer, src_neuron, tgt_layer, tgt_neuron, method)
),
members AS (
    SELECT
        count(*) FILTER (o.cluster_path IS NULL) AS added,
        count(*) FILTER (n.cluster_path IS NULL) AS removed,
        count(*) FILTER (o.cluster_path <> n.cluster_path) AS changed,
        count(*) AS total
    FROM old.cluster_members AS o
    FULL JOIN new.cluster_members AS n USING (clustering, layer, neuron)
),
columns AS (
    SELECT
        count(*) FILTER (o.column_name IS NULL) AS added,
        count(*) FILTER (n.column_name IS NULL) AS removed,
        count(*) FILTER (o.data_type <> n.data_type) AS changed,
        count(*) AS total
    FROM (FROM duckdb_columns() WHERE database_name = 'old' AND NOT internal) AS o
    FULL JOIN (FROM duckdb_columns() WHERE database_name = 'new' AND NOT internal) AS n USING (table_name, column_name)
),
rows AS (
    SELECT 1 AS place, 'neurons' AS name, added, removed, changed, total FROM neurons
    UNION ALL SELECT 2, 'edges', added, removed, changed, total FROM edges
    UNION ALL SELECT 3, 'labels shown', added, removed, changed, total FROM labels
    UNION ALL SELECT 4, 'cluster members', added, removed, changed, total FROM members
    UNION ALL SELECT 5, 'columns', added, removed, changed, total FROM columns
)
SELECT place, name, added, removed, changed, total - added - removed - changed AS equal, NULL AS old_value, NULL AS new_value
FROM rows
UNION ALL
SELECT 6, name, NULL, NULL, NULL, NULL, old_value, new_value
FROM facts
ORDER BY place, name
