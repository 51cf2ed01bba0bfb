-- Id of a circuit in this atlas from its path: `infomap/12` is 12 where infomap is the primary clustering.
-- Example: SELECT circuit_named('{cluster_path}');
CREATE MACRO circuit_named(path) AS coalesce(
    (
        SELECT substr(path::VARCHAR, len(clustering) + 2) FROM clusterings
        WHERE is_primary AND starts_with(path::VARCHAR, clustering || '/')
    ),
    path::VARCHAR
);
