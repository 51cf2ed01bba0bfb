-- Number of labels per source, kind and stated function type (semantic, routing, ...).
-- Example: FROM label_types;
CREATE VIEW label_types AS
SELECT
    source,
    kind,
    type,
    count(*) AS label_count,
    (count(*) / sum(count(*)) OVER (PARTITION BY source, kind))::FLOAT AS label_share
FROM labels
WHERE is_of_atlas AND type IS NOT NULL
GROUP BY source, kind, type
ORDER BY source, kind, label_count DESC, type;
COMMENT ON COLUMN label_types.label_count IS 'Labels.';
COMMENT ON COLUMN label_types.label_share IS 'Share of the labels of this source and kind that state one.';
