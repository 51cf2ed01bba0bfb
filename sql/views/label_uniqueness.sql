-- Per source and kind of label: number of distinct texts, and of texts of one neuron only; without uninformative ones.
-- Example: FROM label_uniqueness;
CREATE VIEW label_uniqueness AS
WITH texts AS (
    SELECT source, kind, lower(text) AS text, count(*) AS label_count, count(DISTINCT (layer, neuron)) AS neuron_count
    FROM labels
    WHERE is_of_atlas AND NOT is_uninformative
    GROUP BY ALL
)
SELECT
    source,
    kind,
    sum(label_count)::BIGINT AS label_count,
    count(*) AS text_count,
    (count(*) / sum(label_count))::FLOAT AS text_share,
    count(*) FILTER (neuron_count = 1) AS unique_count,
    (count(*) FILTER (neuron_count = 1) / sum(label_count))::FLOAT AS unique_share
FROM texts
GROUP BY source, kind
ORDER BY source, kind;
COMMENT ON COLUMN label_uniqueness.label_count IS 'Labels.';
COMMENT ON COLUMN label_uniqueness.text_count IS 'Different texts, regardless of case.';
COMMENT ON COLUMN label_uniqueness.text_share IS 'text_count / label_count; 1 if no text occurs twice.';
COMMENT ON COLUMN label_uniqueness.unique_count IS 'Number of texts that only one neuron has.';
COMMENT ON COLUMN label_uniqueness.unique_share IS 'unique_count / label_count.';
