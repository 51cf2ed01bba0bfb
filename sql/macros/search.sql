-- Neurons by the words of their labels and descriptions, best first: words in any order, beginnings and parts of words, "phrases", and the
-- nearest words where none is spelled so. One row per neuron, with the label that matched best. `top` rows at most, all where NULL.
-- Example: FROM search('{words}', 20);
CREATE MACRO search(words, top) AS TABLE
WITH asked AS MATERIALIZED (
    SELECT unnest(list_distinct(terms_of(words))) AS word
),
written AS MATERIALIZED (
    SELECT
        word,
        term_id,
        term,
        label_count,
        CASE WHEN term = word THEN 1.0 WHEN starts_with(term, word) THEN 0.5 ELSE 0.25 END AS closeness
    FROM asked
    -- Parts of words from three letters on; one or two letters are in the middle of most words.
    JOIN label_terms ON strlen(term) >= strlen(word) AND contains(term, word) AND (starts_with(term, word) OR len(word) > 2 OR NOT regexp_full_match(word, '[a-z0-9]+'))
),
-- One letter wrong in four, two in eight, but not the first; the nearest words, and of those the most frequent.
meant AS (
    SELECT
        word,
        term_id,
        term,
        label_count,
        0.25 AS closeness,
        damerau_levenshtein(term, word) AS distance
    FROM (FROM asked WHERE word NOT IN (SELECT word FROM written)) AS a
    JOIN label_terms ON term[1] = word[1] AND abs(len(term) - len(word)) <= len(word) // 4 AND damerau_levenshtein(term, word) <= least(len(word) // 4, 2)
    QUALIFY row_number() OVER (PARTITION BY word ORDER BY distance, label_count DESC, term) = 1
),
sizes AS MATERIALIZED (
    SELECT
        count(*) AS documents,
        greatest(avg(text_term_count), 1) AS text_mean,
        greatest(avg(description_term_count), 1) AS description_mean
    FROM label_documents
),
-- Terms with their weights; words are numbered from the rarest. A list that is taken apart makes DuckDB expect few rows, and so join from them.
chosen_terms AS MATERIALIZED (
    SELECT unnest(terms, recursive := true)
    FROM (
        SELECT
            list({
                term_id: term_id,
                term: term,
                place: place,
                last_place: last_place,
                weight: (closeness * ln(1 + (documents - label_count + 0.5) / (label_count + 0.5)))::DOUBLE
            }) AS terms
        FROM (
            SELECT *, max(place) OVER () AS last_place
            FROM (
                SELECT *, (dense_rank() OVER (ORDER BY word_count, word) - 1)::UTINYINT AS place
                FROM (
                    SELECT *, sum(label_count) OVER (PARTITION BY word) AS word_count
                    FROM (FROM written UNION ALL SELECT * EXCLUDE (distance) FROM meant)
                )
            )
        )
        CROSS JOIN sizes
    )
),
matches AS NOT MATERIALIZED (
    SELECT label_id, place, last_place, term_id, text_count, description_count, weight
    FROM label_postings
    JOIN chosen_terms USING (term_id)
),
-- Labels with the four rarest words: joins take a fraction of the time of counting the words of every label.
with_all AS MATERIALIZED (
    SELECT label_id
    FROM matches
    WHERE place = 0
        AND (last_place < 1 OR label_id IN (SELECT label_id FROM matches WHERE place = 1))
        AND (last_place < 2 OR label_id IN (SELECT label_id FROM matches WHERE place = 2))
        AND (last_place < 3 OR label_id IN (SELECT label_id FROM matches WHERE place = 3))
),
-- Where no label has those, labels with as many words as any.
counted AS (
    SELECT label_id
    FROM matches
    WHERE (SELECT count(*) FROM with_all) = 0
    GROUP BY label_id
    QUALIFY count(DISTINCT place) = max(count(DISTINCT place)) OVER ()
),
candidates AS (
    FROM with_all UNION ALL FROM counted
),
-- BM25F (Robertson, Zaragoza and Taylor 2004): k1 = 1.2, b = 0.75; a word of the text counts as three of the description.
by_word AS (
    SELECT
        m.label_id,
        m.place,
        max(m.weight * (1 - 1.2 / (1.2 + 3.0 * m.text_count / (0.25 + 0.75 * d.text_term_count / s.text_mean)
            + m.description_count / (0.25 + 0.75 * d.description_term_count / s.description_mean)))) AS score
    FROM matches AS m
    SEMI JOIN candidates USING (label_id)
    JOIN label_documents AS d USING (label_id)
    CROSS JOIN sizes AS s
    GROUP BY m.label_id, m.place
),
-- A label with more of the words comes first: the score of a word is at most the logarithm of the number of labels, far below 4096.
by_label AS MATERIALIZED (
    SELECT label_id, sum(score) AS score, 4096.0 * count(*) + sum(score) AS rank
    FROM by_word
    GROUP BY label_id
    UNION ALL
    -- Without a letter or digit, as written.
    SELECT label_id, 0.0, 0.0
    FROM labels
    WHERE len(terms_of(words)) = 0 AND in_atlas AND NOT is_uninformative
        AND (contains(lower(text), lower(words)) OR contains(lower(coalesce(description, '')), lower(words)))
),
phrased AS (
    SELECT label_id
    FROM labels
    WHERE contains(words, '"')
        AND list_bool_and([
            contains(lower(text), phrase) OR contains(lower(coalesce(description, '')), phrase)
            FOR phrase IN regexp_extract_all(lower(words), '"([^"]+)"', 1)
        ])
),
-- The best labels of which `top` neurons can be told, instead of all; a neuron has few labels. None has fewer words than the best.
enough AS (
    SELECT greatest(
        floor(max(b.rank) / 4096) * 4096,
        CASE WHEN count(DISTINCT (d.layer, d.neuron)) >= top AND NOT contains(words, '"') THEN min(b.rank) END
    ) AS rank
    FROM (SELECT label_id, rank FROM by_label ORDER BY rank DESC LIMIT 4 * top) AS b
    JOIN label_documents AS d USING (label_id)
),
best AS (
    SELECT
        d.layer,
        d.neuron,
        max(b.score) AS score,
        arg_min(b.label_id, (-b.score, b.label_id)) AS label_id,
        max(d.graph_count) AS graph_count
    FROM (FROM by_label WHERE rank >= (FROM enough)) AS b
    JOIN label_documents AS d USING (label_id)
    WHERE NOT contains(words, '"') OR label_id IN (FROM phrased)
    GROUP BY d.layer, d.neuron
    ORDER BY score DESC, graph_count DESC NULLS LAST, d.layer, d.neuron
    LIMIT top
),
shown AS MATERIALIZED (
    SELECT b.label_id, b.score, n.rowid AS neuron_row
    FROM best AS b
    JOIN neurons AS n USING (layer, neuron)
),
-- The words of the label that were taken for those looked for.
taken AS (
    SELECT label_id, list(term ORDER BY place) AS terms
    FROM (
        SELECT m.label_id, m.place, arg_max(t.term, (m.weight, t.term)) AS term
        -- A comparison of truth values keeps DuckDB from building a table of all matches.
        FROM (FROM matches WHERE (label_id IN (SELECT label_id FROM shown)) = true) AS m
        JOIN chosen_terms AS t USING (term_id, place)
        GROUP BY m.label_id, m.place
    )
    GROUP BY label_id
)
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    l.text,
    l.kind,
    l.source,
    n.cluster_path,
    n.graph_count,
    n.max_activation,
    s.score,
    coalesce(t.terms, []) AS terms
FROM shown AS s
JOIN labels AS l ON l.label_id = s.label_id
JOIN neurons AS n ON n.rowid = s.neuron_row
LEFT JOIN taken AS t ON t.label_id = s.label_id
ORDER BY score DESC, graph_count DESC NULLS LAST, layer, neuron;
