-- Neurons that write to a feature, read it, or are active on the same tokens, with their labels and circuits.
-- Example: FROM feature_neurons_of({feature_layer}, {feature}) LIMIT 10;
CREATE MACRO feature_neurons_of(of_layer, of_unit) AS TABLE
WITH found AS (
    SELECT relation, rank, neuron_layer, neuron, cosine AS strength
    FROM feature_neurons
    WHERE layer = of_layer AND unit = of_unit
    UNION ALL
    SELECT 'active with', rank, other_layer, other_unit, jaccard
    FROM coactivation
    WHERE
        layer = of_layer
        AND unit = of_unit
        AND unit_type = 'feature'
        AND other_unit_type = 'neuron'
)
SELECT
    f.relation,
    'L' || f.neuron_layer || '/N' || f.neuron AS neuron_id,
    f.neuron_layer,
    f.neuron,
    f.strength,
    n.label,
    n.cluster_path,
    f.rank
FROM found AS f
LEFT JOIN neurons AS n ON n.layer = f.neuron_layer AND n.neuron = f.neuron AND n.unit_type = 'neuron'
ORDER BY relation, rank;
