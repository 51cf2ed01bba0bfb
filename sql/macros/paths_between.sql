-- Paths from one neuron to another: the direct edge, and all paths through one intermediate neuron; strongest first.
-- A path joins two edges, possibly of different graphs; graph_count and strength are the smaller values of the two.
-- Example: FROM paths_between({layer}, {neuron}, {to_layer}, {to_neuron});
CREATE MACRO paths_between(from_layer, from_neuron, to_layer, to_neuron) AS TABLE
SELECT
    1 AS hop_count,
    NULL::VARCHAR AS via_id,
    NULL::INTEGER AS via_layer,
    NULL::INTEGER AS via_neuron,
    NULL::VARCHAR AS via_label,
    e.graph_count,
    e.mean_weight AS first_weight,
    NULL::FLOAT AS second_weight,
    coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
FROM edges AS e
WHERE e.src_layer = from_layer AND e.src_neuron = from_neuron AND e.tgt_layer = to_layer AND e.tgt_neuron = to_neuron
UNION ALL
SELECT
    2,
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    least(a.graph_count, b.graph_count),
    a.mean_weight,
    b.mean_weight,
    least(coalesce(a.mean_abs_weight, abs(a.mean_weight)), coalesce(b.mean_abs_weight, abs(b.mean_weight)))
FROM edges AS a
JOIN edges_by_target AS b ON b.src_layer = a.tgt_layer AND b.src_neuron = a.tgt_neuron
JOIN neurons AS n ON n.layer = a.tgt_layer AND n.neuron = a.tgt_neuron
WHERE a.src_layer = from_layer AND a.src_neuron = from_neuron AND b.tgt_layer = to_layer AND b.tgt_neuron = to_neuron
    -- Exclude paths through a self-loop of either end.
    AND NOT (n.layer = from_layer AND n.neuron = from_neuron)
    AND NOT (n.layer = to_layer AND n.neuron = to_neuron)
ORDER BY hop_count, strength DESC, via_layer, via_neuron;
