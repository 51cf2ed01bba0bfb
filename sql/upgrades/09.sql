-- What schema 10 has and schema 9 lacks: sums of the edges of every neuron, numbers of labels, words of labels, edges inside circuits.
-- The catalog `before` holds the atlas; the current one has a view of each of its tables.

CREATE OR REPLACE VIEW labels AS
SELECT rowid::INTEGER AS label_id, *
FROM before.labels;

CREATE OR REPLACE TABLE neurons AS
WITH out_edges AS (
    SELECT src_layer AS layer, src_neuron AS neuron, sum(weight_abs_sum)::FLOAT AS output_abs_sum, sqrt(sum(weight_sum ** 2))::FLOAT AS output_weight_norm
    FROM before.edges
    GROUP BY ALL
),
in_edges AS (
    SELECT tgt_layer AS layer, tgt_neuron AS neuron, sum(weight_abs_sum)::FLOAT AS input_abs_sum, sqrt(sum(weight_sum ** 2))::FLOAT AS input_weight_norm
    FROM before.edges_by_target
    GROUP BY ALL
)
SELECT
    n.*,
    CASE WHEN n.in_degree = 0 THEN 0 ELSE i.input_abs_sum END AS input_abs_sum,
    CASE WHEN n.out_degree = 0 THEN 0 ELSE o.output_abs_sum END AS output_abs_sum,
    CASE WHEN n.in_degree = 0 THEN 0 ELSE i.input_weight_norm END AS input_weight_norm,
    CASE WHEN n.out_degree = 0 THEN 0 ELSE o.output_weight_norm END AS output_weight_norm
FROM before.neurons AS n
LEFT JOIN out_edges AS o USING (layer, neuron)
LEFT JOIN in_edges AS i USING (layer, neuron)
ORDER BY n.layer, n.neuron;

CREATE VIEW label_words AS
SELECT
    l.rowid::INTEGER AS label_id,
    l.layer,
    l.neuron,
    n.graph_count,
    coalesce(terms_of(l.text), []) AS text_words,
    coalesce(terms_of(l.description), []) AS description_words
FROM before.labels AS l
JOIN before.neurons AS n USING (layer, neuron)
WHERE l.in_atlas AND NOT l.is_uninformative;

CREATE VIEW label_documents AS
SELECT
    label_id,
    layer,
    neuron,
    graph_count,
    len(text_words) AS text_term_count,
    len(description_words) AS description_term_count
FROM label_words;

CREATE VIEW label_terms AS
SELECT row_number() OVER (ORDER BY term)::INTEGER AS term_id, term, label_count::INTEGER AS label_count
FROM (
    SELECT term, count(*) AS label_count
    FROM (SELECT unnest(list_distinct(list_concat(text_words, description_words))) AS term FROM label_words)
    GROUP BY term
);

CREATE VIEW label_postings AS
SELECT t.term_id, w.label_id, count(*) FILTER (w.in_text) AS text_count, count(*) FILTER (NOT w.in_text) AS description_count
FROM (
    SELECT label_id, unnest(text_words) AS term, true AS in_text FROM label_words
    UNION ALL
    SELECT label_id, unnest(description_words), false FROM label_words
) AS w
JOIN label_terms AS t USING (term)
GROUP BY t.term_id, w.label_id;

CREATE VIEW edges_inside AS
SELECT
    n.top_cluster,
    e.src_layer,
    e.src_neuron,
    e.tgt_layer,
    e.tgt_neuron,
    e.count,
    e.graph_count,
    e.mean_weight,
    e.sign_cancellation,
    e.mean_abs_weight,
    e.weight_min,
    e.weight_max
FROM before.edges AS e
JOIN before.neurons AS n ON n.layer = e.src_layer AND n.neuron = e.src_neuron
WHERE e.in_circuit;

CREATE VIEW card AS
SELECT 1 AS place, 'limits' AS section, 'This atlas is of an earlier schema, without a data card.' AS text;
