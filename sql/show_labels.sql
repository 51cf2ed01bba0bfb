-- Show in `neurons` the labels that rank first, once labels were added; ranks count from 1 without gaps again.

CREATE TABLE input.ranked AS
SELECT rowid AS place, row_number() OVER (PARTITION BY layer, neuron ORDER BY rank) AS rank
FROM labels
WHERE rank IS NOT NULL;

UPDATE labels SET rank = input.ranked.rank FROM input.ranked WHERE labels.rowid = input.ranked.place;

UPDATE neurons
SET
    label = best.text,
    description = best.description,
    input_label = best.input_label,
    output_label = best.output_label,
    label_kind = best.kind,
    label_source = best.source,
    label_confidence = best.confidence,
    num_exemplars = best.num_exemplars,
    max_activation = coalesce(best.max_activation, neurons.max_activation)
FROM (
    SELECT
        layer,
        neuron,
        first(text ORDER BY rank) AS text,
        first(description ORDER BY rank) AS description,
        first(kind ORDER BY rank) AS kind,
        first(source ORDER BY rank) AS source,
        first(confidence ORDER BY rank) AS confidence,
        first(num_exemplars ORDER BY rank) AS num_exemplars,
        first(max_activation ORDER BY rank) AS max_activation,
        arg_min(text, rank) FILTER (kind = 'input') AS input_label,
        arg_min(text, rank) FILTER (kind = 'output') AS output_label
    FROM labels
    WHERE rank IS NOT NULL AND in_atlas
    GROUP BY layer, neuron
) AS best
WHERE best.layer = neurons.layer AND best.neuron = neurons.neuron;
