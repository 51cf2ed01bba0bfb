-- Circuits of both kinds, largest first: clusters of the primary clustering at every level, and anchored circuits, with how surely
-- they are found again, label coverage and sample labels.
-- Example: FROM circuits WHERE size BETWEEN 3 AND 60 LIMIT 10;
CREATE VIEW circuits AS
WITH clustered AS (
    SELECT
        array_to_string(string_split(n.cluster_path, '.')[1:levels.level], '.') AS cluster_path,
        count(n.label) AS labelled_count,
        list(n.label ORDER BY n.infomap_flow DESC, n.layer, n.neuron) FILTER (n.label IS NOT NULL)[1:3] AS sample_labels
    FROM neurons AS n, generate_series(1, n.hierarchy_depth) AS levels(level)
    GROUP BY ALL
),
anchored AS (
    SELECT
        m.circuit_id,
        min(m.layer) AS layer_min,
        max(m.layer) AS layer_max,
        median(m.layer)::FLOAT AS median_layer,
        count(n.label) AS labelled_count,
        list(n.label ORDER BY m.role, m.rank) FILTER (n.label IS NOT NULL)[1:3] AS sample_labels
    FROM anchored_members AS m
    LEFT JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
    GROUP BY m.circuit_id
)
SELECT
    c.cluster_path AS circuit_id,
    'cluster' AS kind,
    c.name AS anchor,
    c.cluster_path,
    c.level,
    c.parent_path,
    c.size,
    c.layer_min,
    c.layer_max,
    c.median_layer,
    c.flow,
    NULL::DOUBLE AS support,
    NULL::DOUBLE AS half_agreement,
    NULL::DOUBLE AS control_agreement,
    NULL::DOUBLE AS null_p,
    NULL::DOUBLE AS null_fdr,
    NULL::DOUBLE AS effect,
    NULL::DOUBLE AS control_effect_max,
    coalesce(m.labelled_count, 0) AS labelled_count,
    m.sample_labels
FROM clusters AS c
LEFT JOIN clustered AS m USING (cluster_path)
UNION ALL
SELECT
    c.circuit_id,
    c.kind,
    c.anchor,
    NULL,
    NULL,
    NULL,
    c.size,
    m.layer_min,
    m.layer_max,
    m.median_layer,
    NULL,
    c.support,
    c.half_agreement,
    c.control_agreement,
    c.null_p,
    c.null_fdr,
    e.effect,
    e.control_effect_max,
    m.labelled_count,
    m.sample_labels
FROM anchored_circuits AS c
JOIN anchored AS m USING (circuit_id)
LEFT JOIN circuit_effects AS e USING (circuit_id)
ORDER BY size DESC, level, circuit_id;
COMMENT ON COLUMN circuits.kind IS 'cluster, or the kind of an anchored circuit: input, output, contrast or set.';
COMMENT ON COLUMN circuits.anchor IS 'Text of the tokens, or the neurons, of an anchored circuit; the given name of a cluster.';
COMMENT ON COLUMN circuits.labelled_count IS 'Neurons that have a label.';
COMMENT ON COLUMN circuits.sample_labels IS 'Up to three labels, of the neurons with most flow, or of the first members.';
