-- Columns of the tables and views of the current catalog, with their comments, in the order in which they were made.
SELECT
    table_name,
    column_name,
    comment
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
ORDER BY table_oid, column_index
