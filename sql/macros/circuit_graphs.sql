-- Graphs in which a circuit acts, those with the largest share of its neurons first. Of an anchored circuit, the neurons that carry
-- its anchor count.
-- Example: FROM circuit_graphs('{cluster_path}') LIMIT 10;
CREATE MACRO circuit_graphs(path) AS TABLE
WITH members AS MATERIALIZED (
    SELECT layer, neuron
    FROM circuit_members
    WHERE circuit_id = circuit_named(path) AND step = 0
),
active AS (
    SELECT g.graph_id, count(*) AS active_count
    FROM neuron_graphs AS g
    JOIN members AS m ON m.layer = g.layer AND m.neuron = g.neuron
    GROUP BY g.graph_id
)
SELECT
    a.graph_id,
    g.prompt,
    g.group_id,
    a.active_count,
    a.active_count / (SELECT count(*) FROM members) AS active_share
FROM active AS a
JOIN graphs AS g USING (graph_id)
ORDER BY active_share DESC, graph_id;
