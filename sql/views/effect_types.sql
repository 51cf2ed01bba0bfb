-- Per layer: number of neurons that act directly on the logits or through later layers, and their mean ratio.
-- Example: FROM effect_types;
CREATE VIEW effect_types AS
SELECT
    layer,
    count(*) AS neuron_count,
    count(*) FILTER (effect_type = 'logit') AS logit_count,
    count(*) FILTER (effect_type = 'mixed') AS mixed_count,
    count(*) FILTER (effect_type = 'routing') AS routing_count,
    avg(ratio_mean) AS ratio_mean,
    median(ratio_mean) AS ratio_median
FROM direct_effects
GROUP BY layer
ORDER BY layer;

COMMENT ON COLUMN effect_types.neuron_count IS 'Neurons of the layer.';
COMMENT ON COLUMN effect_types.logit_count IS 'Neurons that act straight on the logits (ratio above 0.7).';
COMMENT ON COLUMN effect_types.mixed_count IS 'Neurons that act both ways.';
COMMENT ON COLUMN effect_types.routing_count IS 'Neurons that act through later layers (ratio below 0.3).';
COMMENT ON COLUMN effect_types.ratio_mean IS 'Mean of the mean ratios.';
COMMENT ON COLUMN effect_types.ratio_median IS 'Median of the mean ratios.';
