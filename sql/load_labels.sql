-- Fill the table of labels from the catalog `input`.

-- Names of one model or dictionary differ in case, punctuation and owner: google/gemma-2-2b is gemma-2-2b.
CREATE MACRO input.plain_name(name) AS regexp_replace(lower(string_split(name, '/')[-1]), '[^a-z0-9]', '', 'g');

-- Mark the labels that describe units of this atlas, and rank only those. A label that names another model or
-- dictionary describes other units: there, the same layer and index refer to a different feature.
CREATE TABLE input.labels_here AS
WITH space AS (
    SELECT
        input.plain_name(model) AS model,
        list_transform(set_names, lambda name: input.plain_name(name)) AS dictionaries
    FROM input.parameters
),
known AS (
    SELECT
        found.*,
        (found.subject_model IS NULL OR coalesce(input.plain_name(found.subject_model) = space.model, false))
        AND (
            found.dictionary IS NULL
            OR coalesce(list_contains(space.dictionaries, input.plain_name(found.dictionary)), false)
        ) AS is_of_atlas
    FROM input.labels AS found, space
)
SELECT
    * EXCLUDE (rank),
    CASE
        WHEN rank IS NOT NULL AND is_of_atlas THEN
            row_number() OVER (PARTITION BY layer, neuron, is_of_atlas AND rank IS NOT NULL ORDER BY rank)
    END::INTEGER AS rank
FROM known;

INSERT INTO labels
SELECT
    (SELECT coalesce(max(label_id), -1) FROM labels) + row_number() OVER () AS label_id,
    *
FROM (
    SELECT
        layer,
        neuron,
        rank,
        kind,
        text,
        description,
        source,
        model,
        confidence,
        interpretability,
        type,
        score,
        num_exemplars,
        max_activation,
        is_uninformative,
        is_of_atlas
            AND EXISTS (FROM input.neurons AS known WHERE known.layer = found.layer AND known.neuron = found.neuron),
        file,
        sources,
        subject_model,
        dictionary,
        is_of_atlas
    FROM input.labels_here AS found
    ORDER BY layer, neuron, rank NULLS LAST, file, text
);
