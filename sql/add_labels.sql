-- Make room for added labels, which come first; then `load_labels` adds them.
-- Before: the catalog `input` with `labels`, `parameters` and `neurons`.

UPDATE labels
SET rank = rank + added.label_count
FROM (
    SELECT layer, neuron, count(*) AS label_count
    FROM input.labels
    WHERE rank IS NOT NULL
    GROUP BY layer, neuron
) AS added
WHERE labels.rank IS NOT NULL AND added.layer = labels.layer AND added.neuron = labels.neuron;
