-- Edges of one graph that few other groups have where both ends are present, most surprising first.
--
-- $graph_id INTEGER required: number of the graph
-- $limit BIGINT: at most this many rows
WITH own AS (
    SELECT group_id FROM graphs WHERE graph_id = $graph_id
),
here AS (
    SELECT
        s.layer AS src_layer,
        s.neuron AS src_neuron,
        t.layer AS tgt_layer,
        t.neuron AS tgt_neuron,
        sum(l.weight) AS weight
    FROM graph_links AS l
    JOIN graph_nodes AS s ON s.graph_id = l.graph_id AND s.node = l.source AND s.kind = 'neuron'
    JOIN graph_nodes AS t ON t.graph_id = l.graph_id AND t.node = l.target AND t.kind = 'neuron'
    WHERE l.graph_id = $graph_id
    GROUP BY ALL
),
linked AS (
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count(*)::INTEGER AS other_group_count
    FROM edge_groups
    SEMI JOIN here USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
    WHERE group_id <> (FROM own)
    GROUP BY ALL
),
-- A graph holds both ends; a group counts once for all its graphs.
seen AS (
    SELECT DISTINCT layer, neuron, graph_id, group_id
    FROM neuron_graphs
    SEMI JOIN (FROM neuron_graphs WHERE graph_id = $graph_id) AS mine USING (layer, neuron)
    JOIN graphs USING (graph_id)
    WHERE group_id <> (FROM own)
),
joint AS (
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count(DISTINCT s.group_id)::INTEGER AS joint_group_count
    FROM here
    JOIN seen AS s ON s.layer = src_layer AND s.neuron = src_neuron
    JOIN seen AS t ON t.layer = tgt_layer AND t.neuron = tgt_neuron AND t.graph_id = s.graph_id
    GROUP BY ALL
)
SELECT
    s.neuron_id AS src_id,
    t.neuron_id AS tgt_id,
    src_layer,
    src_neuron,
    s.label AS src_label,
    tgt_layer,
    tgt_neuron,
    t.label AS tgt_label,
    here.weight::FLOAT AS weight,
    coalesce(linked.other_group_count, 0) AS other_group_count,
    coalesce(joint.joint_group_count, 0) AS joint_group_count,
    -- One is added to both counts, so that an edge that no other group has is finite. Without another group that has
    -- both ends, nothing is known, and the surprise is 0.
    abs(log2((coalesce(linked.other_group_count, 0) + 1) / (coalesce(joint.joint_group_count, 0) + 1)))::FLOAT AS surprise
FROM here
LEFT JOIN linked USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
LEFT JOIN joint USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
JOIN neurons AS s ON s.layer = src_layer AND s.neuron = src_neuron
JOIN neurons AS t ON t.layer = tgt_layer AND t.neuron = tgt_neuron
ORDER BY surprise DESC, abs(here.weight) DESC, src_layer, src_neuron, tgt_layer, tgt_neuron
LIMIT $limit
