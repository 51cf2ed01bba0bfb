-- Fill the tables that `search` reads from `labels`, anew.

DELETE FROM label_documents;
DELETE FROM label_terms;
DELETE FROM label_postings;

CREATE OR REPLACE TABLE input.label_words AS
SELECT
    label_id,
    layer,
    neuron,
    coalesce(terms_of(text), []) AS text_words,
    coalesce(terms_of(description), []) AS description_words
FROM labels
WHERE in_atlas AND NOT is_uninformative;

INSERT INTO label_documents BY NAME
SELECT
    label_id,
    layer,
    neuron,
    n.graph_count,
    least(len(text_words), 32_767) AS text_term_count,
    least(len(description_words), 32_767) AS description_term_count
FROM input.label_words
JOIN neurons AS n USING (layer, neuron)
ORDER BY label_id;

-- Number the words first: sorting and counting numbers takes a fraction of the memory of texts.
CREATE OR REPLACE TABLE input.terms AS
SELECT row_number() OVER (ORDER BY term)::INTEGER AS term_id, term
FROM (SELECT DISTINCT unnest(list_concat(text_words, description_words)) AS term FROM input.label_words);

INSERT INTO label_postings BY NAME
SELECT
    term_id,
    label_id,
    least(count(*) FILTER (in_text), 255) AS text_count,
    least(count(*) FILTER (NOT in_text), 255) AS description_count
FROM (
    SELECT label_id, unnest(text_words) AS term, true AS in_text FROM input.label_words
    UNION ALL
    SELECT label_id, unnest(description_words), false FROM input.label_words
)
JOIN input.terms USING (term)
GROUP BY term_id, label_id
ORDER BY term_id, label_id;

INSERT INTO label_terms BY NAME
SELECT term_id, term, count(*) AS label_count
FROM input.terms
JOIN label_postings USING (term_id)
GROUP BY term_id, term
ORDER BY term_id;

DROP TABLE input.label_words;
DROP TABLE input.terms;
