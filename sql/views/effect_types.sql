-- Per layer, how many neurons act straight on the logits, how many through later layers, and their mean ratio.
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
