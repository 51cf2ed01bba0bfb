-- Edges whose links, graphs or groups differ from the totals in edge_groups.
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    e.count,
    g.count AS count_by_group,
    e.group_count,
    g.group_count AS groups_by_group
FROM edges AS e
FULL JOIN (
    SELECT
        src_layer,
        src_neuron,
        tgt_layer,
        tgt_neuron,
        sum(count) AS count,
        sum(graph_count) AS graph_count,
        count(*) AS group_count
    FROM edge_groups
    GROUP BY ALL
) AS g USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
-- Statistics without groups, or with too many rows, have none.
WHERE EXISTS (FROM edge_groups)
    AND (
        e.count IS DISTINCT FROM g.count
        OR e.graph_count <> g.graph_count
        OR e.group_count <> g.group_count
    )
ORDER BY ALL;
