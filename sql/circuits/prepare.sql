-- Links by the kind of their ends, and the tokens at either end of the graphs.
-- Before: views `given_nodes` and `given_links`, the table `graph_buckets`, and the variable `index_bits`.

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
