-- Projections whose ranks do not follow their weights, and direct effect ratios outside 0 to 1.
SELECT layer, neuron, projection_kind AS what, weight AS value
FROM (
    SELECT
        *,
        lag(weight) OVER (PARTITION BY layer, neuron, projection_kind, direction ORDER BY rank) AS before
    FROM projections
)
WHERE (direction IN ('promotes', 'activates') AND weight > before) OR (direction = 'suppresses' AND weight < before)
UNION ALL
SELECT layer, neuron, 'ratio', ratio_mean FROM direct_effects
WHERE NOT (ratio_min BETWEEN 0 AND 1 AND ratio_max BETWEEN 0 AND 1 AND ratio_mean BETWEEN 0 AND 1.000001)
ORDER BY ALL;
