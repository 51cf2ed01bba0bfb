-- Buckets of groups of prompts: each group its own, where there are few enough; else groups share buckets by their hash.
-- Before: the view `given_graphs`, and the variable `buckets`.
CREATE TABLE graph_buckets AS
WITH numbered AS (
    SELECT
        graph_id,
        coalesce(group_id, -1 - graph_id) AS group_id,
        dense_rank() OVER (ORDER BY coalesce(group_id, -1 - graph_id)) - 1 AS place
    FROM given_graphs
)
SELECT
    graph_id,
    group_id,
    CASE
        WHEN (SELECT max(place) FROM numbered) < getvariable('buckets') THEN place
        ELSE hash(group_id) % getvariable('buckets')
    END::INTEGER AS bucket
FROM numbered;

CREATE TABLE group_buckets AS
SELECT DISTINCT group_id, bucket
FROM graph_buckets;
