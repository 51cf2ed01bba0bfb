-- Labels by source and kind: how many, of how many neurons, how many differ, how many say something, and their median score.
SELECT
    source,
    kind,
    count(*) AS label_count,
    count(DISTINCT (layer, neuron)) AS neuron_count,
    count(DISTINCT (layer, neuron)) FILTER (in_atlas) AS neurons_in_atlas,
    count(DISTINCT (layer, neuron)) FILTER (in_atlas) / (SELECT count(*) FROM neurons) AS coverage,
    count(DISTINCT lower(text)) AS distinct_count,
    count(*) FILTER (is_uninformative) AS uninformative_count,
    count(*) FILTER (rank = 1) AS shown_count,
    median(length(text)) AS median_length,
    median(score) AS median_score
FROM labels
WHERE is_of_atlas
GROUP BY source, kind
ORDER BY label_count DESC, source, kind
