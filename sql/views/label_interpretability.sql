-- Number of labels per source, kind and stated interpretability; uninformative labels are included.
-- Example: FROM label_interpretability;
CREATE VIEW label_interpretability AS
SELECT
    source,
    kind,
    interpretability,
    count(*) AS label_count,
    (count(*) / sum(count(*)) OVER (PARTITION BY source, kind))::FLOAT AS label_share
FROM labels
WHERE is_of_atlas AND interpretability IS NOT NULL
GROUP BY source, kind, interpretability
ORDER BY source, kind, label_count DESC, interpretability;
COMMENT ON COLUMN label_interpretability.label_count IS 'Labels.';
COMMENT ON COLUMN label_interpretability.label_share IS 'Share of the labels of this source and kind that state one.';
