-- Neurons by label text, over labels of all kinds, best match first. Ignores letter case; wildcards are plain text.
-- Example: FROM search('{words}');
CREATE MACRO search(words) AS TABLE
WITH found AS MATERIALIZED (
    SELECT
        l.text,
        l.kind,
        l.source,
        l.rank,
        n.rowid AS place,
        CASE
            WHEN lower(l.text) = lower(words) THEN 1
            WHEN starts_with(lower(l.text), lower(words)) THEN 2
            WHEN contains(' ' || lower(l.text) || ' ', ' ' || lower(words) || ' ') THEN 3
            WHEN contains(lower(l.text), lower(words)) THEN 4
            ELSE 5
        END AS match_rank
    FROM labels AS l
    JOIN neurons AS n ON n.layer = l.layer AND n.neuron = l.neuron
    WHERE l.in_atlas AND NOT l.is_uninformative
        AND (contains(lower(l.text), lower(words)) OR contains(lower(coalesce(l.description, '')), lower(words)))
    QUALIFY row_number() OVER (PARTITION BY place, lower(l.text) ORDER BY match_rank, l.rank) = 1
)
SELECT
    n.layer,
    n.neuron,
    l.text,
    l.kind,
    l.source,
    n.cluster_path,
    n.graph_count,
    n.max_activation,
    l.match_rank
FROM found AS l
JOIN neurons AS n ON n.rowid = l.place
ORDER BY match_rank, graph_count DESC, layer, neuron, text;
