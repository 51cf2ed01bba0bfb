-- Neurons of circuits of both kinds: of clusters of the primary clustering at every level, and of anchored circuits.
-- Example: FROM circuit_members WHERE layer = {layer} AND neuron = {neuron} ORDER BY confidence DESC;
CREATE VIEW circuit_members AS
SELECT
    array_to_string(string_split(n.cluster_path, '.')[1:levels.level], '.') AS circuit_id,
    'cluster' AS kind,
    n.layer,
    n.neuron,
    NULL::VARCHAR AS role,
    NULL::INTEGER AS step,
    NULL::INTEGER AS rank,
    n.infomap_flow::DOUBLE AS weight,
    NULL::DOUBLE AS confidence
FROM neurons AS n, generate_series(1, n.hierarchy_depth) AS levels(level)
UNION ALL
SELECT
    m.circuit_id,
    c.kind,
    m.layer,
    m.neuron,
    m.role,
    m.step,
    m.rank,
    m.weight,
    m.confidence
FROM anchored_members AS m
JOIN anchored_circuits AS c USING (circuit_id);
COMMENT ON COLUMN circuit_members.weight IS 'Flow of a neuron of a cluster; how strongly it is tied to an anchored circuit (anchored_members.weight).';
