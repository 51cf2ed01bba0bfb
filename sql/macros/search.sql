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
    JOIN label_terms ON contains(term, word)
),
-- One letter wrong in four, two in eight; the nearest words, and of those the most frequent.
meant AS (
    SELECT
        word,
        term_id,
        term,
        label_count,
        0.25 AS closeness,
        damerau_levenshtein(term, word) AS distance
    FROM (FROM asked WHERE word NOT IN (SELECT word FROM written)) AS a
    JOIN label_terms ON abs(len(term) - len(word)) <= len(word) // 4 AND damerau_levenshtein(term, word) <= least(len(word) // 4, 2)
    QUALIFY row_number() OVER (PARTITION BY word ORDER BY distance, label_count DESC, term) = 1
),
chosen_terms AS MATERIALIZED (
    FROM written
    UNION ALL
    SELECT * EXCLUDE (distance) FROM meant
),
sizes AS MATERIALIZED (
    SELECT
        count(*) AS documents,
        greatest(avg(text_term_count), 1) AS text_mean,
        greatest(avg(description_term_count), 1) AS description_mean
    FROM label_documents
),
-- BM25F (Robertson, Zaragoza and Taylor 2004): k1 = 1.2, b = 0.75; a word of the text counts as three of the description.
hits AS (
    SELECT
        d.label_id,
        d.layer,
        d.neuron,
        t.word,
        t.term,
        3.0 * p.text_count / (0.25 + 0.75 * d.text_term_count / s.text_mean)
        + p.description_count / (0.25 + 0.75 * d.description_term_count / s.description_mean) AS frequency,
        t.closeness * ln(1 + (s.documents - t.label_count + 0.5) / (t.label_count + 0.5)) * frequency / (1.2 + frequency) AS score
    FROM chosen_terms AS t
    JOIN label_postings AS p USING (term_id)
    JOIN label_documents AS d USING (label_id)
    CROSS JOIN sizes AS s
),
by_word AS (
    SELECT label_id, layer, neuron, word, max(score) AS score, arg_max(term, (score, term)) AS term
    FROM hits
    GROUP BY label_id, layer, neuron, word
),
by_label AS (
    SELECT label_id, layer, neuron, count(*) AS word_count, sum(score) AS score, list(term ORDER BY word) AS terms
    FROM by_word
    GROUP BY label_id, layer, neuron
    UNION ALL
    -- Without a letter or digit, as written.
    SELECT label_id, layer, neuron, 0, 0.0, []
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
-- Labels with all words, or where no label has, with as many as any.
best AS (
    SELECT *
    FROM by_label
    WHERE NOT contains(words, '"') OR label_id IN (FROM phrased)
    QUALIFY word_count = max(word_count) OVER ()
),
shown AS MATERIALIZED (
    SELECT b.*, n.rowid AS place, n.appearance_count
    FROM (FROM best QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY score DESC, label_id) = 1) AS b
    JOIN neurons AS n USING (layer, neuron)
    ORDER BY b.score DESC, n.appearance_count DESC NULLS LAST, b.layer, b.neuron
    LIMIT top
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
    s.terms
FROM shown AS s
JOIN labels AS l ON l.label_id = s.label_id
JOIN neurons AS n ON n.rowid = s.place
ORDER BY score DESC, graph_count DESC NULLS LAST, layer, neuron;
