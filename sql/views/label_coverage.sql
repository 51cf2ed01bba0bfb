-- Per layer: number of neurons, number of labelled neurons, and their share.
-- Example: FROM label_coverage;
CREATE VIEW label_coverage AS
SELECT
    layer,
    count(*) AS neuron_count,
    count(label) AS labelled_count,
    (count(label) / count(*))::FLOAT AS labelled_share
FROM neurons
GROUP BY layer
ORDER BY layer;
COMMENT ON COLUMN label_coverage.labelled_count IS 'Neurons that have a label.';
COMMENT ON COLUMN label_coverage.labelled_share IS 'labelled_count / neuron_count.';
