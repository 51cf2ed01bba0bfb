-- Units of which the bins of the histogram do not add up to the tokens on which they are active.
SELECT
    s.unit_type,
    s.layer,
    s.unit,
    s.active_count,
    coalesce(sum(h.count), 0) AS in_bins
FROM activation_stats AS s
LEFT JOIN activation_histograms AS h USING (unit_type, layer, unit)
GROUP BY ALL
HAVING s.active_count <> in_bins
ORDER BY ALL;
