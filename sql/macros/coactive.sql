-- Units that are active on the same tokens as a unit, and whether an edge or a connection links the two.
-- Example: FROM coactive({layer}, {neuron}) LIMIT 10;
CREATE MACRO coactive(of_layer, of_unit) AS TABLE
SELECT
    c.other_layer,
    c.other_unit,
    n.label,
    c.joint_count,
    c.active_count,
    c.other_count,
    c.jaccard,
    c.cosine,
    c.pmi,
    c.association_p,
    e.graph_count AS edge_graph_count
FROM coactivation AS c
LEFT JOIN neurons AS n ON n.layer = c.other_layer AND n.neuron = c.other_unit
LEFT JOIN edges AS e
    ON e.src_layer = CASE WHEN c.layer <= c.other_layer THEN c.layer ELSE c.other_layer END
    AND e.src_neuron = CASE WHEN c.layer <= c.other_layer THEN c.unit ELSE c.other_unit END
    AND e.tgt_layer = CASE WHEN c.layer <= c.other_layer THEN c.other_layer ELSE c.layer END
    AND e.tgt_neuron = CASE WHEN c.layer <= c.other_layer THEN c.other_unit ELSE c.unit END
    AND (SELECT value FROM metadata WHERE key = 'activation_unit_type') = n.unit_type
WHERE c.layer = of_layer AND c.unit = of_unit
ORDER BY jaccard DESC, other_layer, other_unit;
