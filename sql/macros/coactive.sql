-- Units that are active on the same tokens as a unit, their circuit, and whether an edge or a connection links the two.
-- Example: FROM coactive({layer}, {neuron}) LIMIT 10;
CREATE MACRO coactive(of_layer, of_unit, of_type := NULL) AS TABLE
WITH mine AS (
    SELECT
        *,
        layer <= other_layer AS is_source
    FROM coactivation
    WHERE
        layer = of_layer
        AND unit = of_unit
        AND unit_type = coalesce(of_type, (SELECT value FROM metadata WHERE key = 'activation_unit_type'))
)
SELECT
    'L' || c.other_layer || upper('/' || c.other_unit_type[1]) || c.other_unit AS other_id,
    c.other_unit_type,
    c.other_layer,
    c.other_unit,
    n.label,
    n.cluster_path,
    c.joint_count,
    c.active_count,
    c.other_count,
    c.jaccard,
    c.cosine,
    c.pmi,
    c.association_p,
    e.graph_count AS edge_graph_count
FROM mine AS c
-- A feature of a dictionary is not the neuron of the same number.
LEFT JOIN neurons AS n ON n.layer = c.other_layer AND n.neuron = c.other_unit AND n.unit_type = c.other_unit_type
LEFT JOIN edges AS e
    ON n.unit_type = c.unit_type
    AND e.src_layer = CASE WHEN c.is_source THEN c.layer ELSE n.layer END
    AND e.src_neuron = CASE WHEN c.is_source THEN c.unit ELSE n.neuron END
    AND e.tgt_layer = CASE WHEN c.is_source THEN n.layer ELSE c.layer END
    AND e.tgt_neuron = CASE WHEN c.is_source THEN n.neuron ELSE c.unit END
ORDER BY jaccard DESC, other_unit_type, other_layer, other_unit;
