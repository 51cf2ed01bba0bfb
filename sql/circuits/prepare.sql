-- Buckets of groups of prompts, and links by the kind of their ends.
-- Before: views `given_graphs`, `given_nodes`, `given_links` and `given_edge_groups`, and the variables `buckets` and `index_bits`.

-- Each group its own bucket, where there are few enough; else groups share buckets by their hash.
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

CREATE VIEW neuron_nodes AS
SELECT graph_id, node, (layer::BIGINT << getvariable('index_bits')) | neuron AS unit
FROM given_nodes
WHERE kind = 'neuron';

-- Links as they run from an input token, and to an output token.
CREATE VIEW token_links AS
SELECT 'token' AS token_kind, graph_id, source AS token, target AS neuron, weight FROM given_links
UNION ALL
SELECT 'logit', graph_id, target, source, weight FROM given_links;

-- Tokens that are an input or an output of a graph, and in how many graphs and groups each is.
CREATE TABLE occurrences AS
SELECT DISTINCT
    CASE WHEN n.kind = 'token' THEN 'input' ELSE 'output' END AS kind,
    n.token_id,
    n.graph_id,
    b.group_id
FROM given_nodes AS n
JOIN graph_buckets AS b USING (graph_id)
WHERE n.kind IN ('token', 'logit') AND n.token_id IS NOT NULL;

CREATE TABLE anchors AS
SELECT kind, token_id, count(*) AS graph_count, count(DISTINCT group_id) AS group_count
FROM occurrences
GROUP BY kind, token_id;
