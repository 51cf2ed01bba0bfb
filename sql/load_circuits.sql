-- Fill the tables of circuits, once neurons, labels and graphs are there.

INSERT INTO circuit_members
WITH primary_one AS (
    SELECT clustering FROM clusterings WHERE is_primary
),
clustered AS (
    SELECT
        m.clustering,
        array_to_string(string_split(m.cluster_path, '.')[1:levels.level], '.') AS cluster_path,
        m.layer,
        m.neuron,
        m.flow AS weight,
        m.level_confidence[levels.level] AS confidence
    FROM cluster_members AS m
    JOIN clusterings AS c ON c.clustering = m.clustering AND NOT coalesce(c.is_overlapping, false),
        generate_series(1, m.hierarchy_depth) AS levels(level)
    UNION ALL
    SELECT clustering, cluster_path, layer, neuron, weight, confidence
    FROM cluster_memberships
)
SELECT
    CASE WHEN c.clustering = (FROM primary_one) THEN '' ELSE c.clustering || '/' END || c.cluster_path AS circuit_id,
    'cluster',
    layer,
    neuron,
    CASE WHEN confidence >= 0.9 THEN 'core' WHEN confidence >= 0.5 THEN 'contingent' WHEN confidence IS NOT NULL THEN 'noise' END,
    0,
    NULL,
    weight,
    confidence
FROM clustered AS c
UNION ALL
SELECT m.circuit_id, c.kind, m.layer, m.neuron, m.role, m.step, m.rank, m.weight, m.confidence
FROM anchored_members AS m
JOIN anchored_circuits AS c USING (circuit_id)
ORDER BY circuit_id, rank, weight DESC NULLS LAST, layer, neuron;

DELETE FROM edges_inside;

INSERT INTO edges_inside BY NAME
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
    e.weight_min,
    e.weight_max
FROM edges AS e
JOIN neurons AS n ON n.layer = e.src_layer AND n.neuron = e.src_neuron
WHERE e.in_circuit
ORDER BY n.top_cluster, e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron;

-- Words of the labels that neurons show, as numbers, without those that only join others. A word names a circuit where a third of its labels have
-- it, e times as many as elsewhere.
CREATE TABLE input.label_words AS
SELECT l.layer, l.neuron, p.term_id
FROM label_postings AS p
JOIN label_terms AS t USING (term_id)
JOIN labels AS l USING (label_id)
WHERE p.text_count > 0 AND l.rank = 1 AND len(t.term) > 1
    AND t.term NOT IN (
        'about', 'an', 'and', 'are', 'as', 'at', 'be', 'by', 'for', 'from', 'in', 'into', 'is', 'it', 'its', 'of', 'on', 'or', 'that', 'the',
        'their', 'these', 'this', 'to', 'with'
    );

CREATE TABLE input.circuit_terms AS
WITH totals AS (
    SELECT term_id, count(*) AS total FROM input.label_words GROUP BY term_id
),
counted AS (
    SELECT m.circuit_id, w.term_id, count(*) AS mine
    FROM circuit_members AS m
    JOIN input.label_words AS w ON w.layer = m.layer AND w.neuron = m.neuron
    GROUP BY m.circuit_id, w.term_id
),
labelled AS (
    SELECT m.circuit_id, count(*) AS labels
    FROM circuit_members AS m
    JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron AND n.label IS NOT NULL
    GROUP BY m.circuit_id
),
scored AS (
    SELECT
        c.circuit_id,
        c.term_id,
        c.mine,
        l.labels,
        c.mine * ln((c.mine / l.labels) / (t.total / (SELECT count(*) FROM neurons WHERE label IS NOT NULL))) AS score
    FROM counted AS c
    JOIN totals AS t USING (term_id)
    JOIN labelled AS l USING (circuit_id)
)
SELECT
    circuit_id,
    array_to_string(list(term ORDER BY score DESC, scored.term_id) FILTER (mine > 1 AND mine * 3 >= labels AND score >= mine)[1:3], ', ') AS terms,
    sum(mine * (mine - 1)) / nullif(any_value(labels * (labels - 1)), 0) AS coherence
FROM scored
LEFT JOIN label_terms AS t ON t.term_id = CASE WHEN mine > 1 AND mine * 3 >= labels AND score >= mine THEN scored.term_id END
GROUP BY circuit_id;

-- Shared words of two random labelled neurons of one layer.
CREATE TABLE input.layer_coherence AS
WITH words AS (
    SELECT layer, term_id, count(*) AS mine FROM input.label_words GROUP BY layer, term_id
),
labels AS (
    SELECT layer, count(*) AS labels FROM neurons WHERE label IS NOT NULL GROUP BY layer
)
SELECT
    layer,
    coalesce(sum(mine * (mine - 1)), 0) / nullif(any_value(labels * (labels - 1)), 0) AS coherence
FROM labels
LEFT JOIN words USING (layer)
GROUP BY layer;

-- Graphs in which clusters act. Beyond a bound of rows it is left out.
CREATE TABLE input.circuit_activity AS
WITH active AS (
    SELECT m.circuit_id, g.graph_id, count(*) AS active_count
    FROM circuit_members AS m
    JOIN neuron_graphs AS g ON g.layer = m.layer AND g.neuron = m.neuron
    WHERE m.kind = 'cluster' AND (SELECT count(*) FROM neuron_graphs) <= 20000000
    GROUP BY m.circuit_id, g.graph_id
),
sizes AS (
    SELECT circuit_id, count(*) AS size FROM circuit_members GROUP BY circuit_id
)
SELECT
    circuit_id,
    count(*) AS graph_count,
    count(DISTINCT g.group_id) AS group_count
FROM active AS a
JOIN sizes AS s USING (circuit_id)
JOIN graphs AS g USING (graph_id)
WHERE active_count >= greatest(2, s.size / 4)
GROUP BY circuit_id;

INSERT INTO circuits BY NAME
WITH members AS (
    SELECT
        m.circuit_id,
        min(m.layer) AS layer_min,
        max(m.layer) AS layer_max,
        median(m.layer)::FLOAT AS median_layer,
        count(n.label) AS labelled_count,
        avg(l.coherence) AS control_coherence,
        list(n.label ORDER BY CASE WHEN m.kind <> 'cluster' THEN m.role END, m.rank, m.weight DESC NULLS LAST, m.layer, m.neuron) FILTER (n.label IS NOT NULL)[1:100] AS labels
    FROM circuit_members AS m
    LEFT JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
    LEFT JOIN input.layer_coherence AS l ON l.layer = m.layer
    GROUP BY m.circuit_id
),
of_both_kinds AS (
    SELECT
        CASE WHEN g.is_primary THEN '' ELSE c.clustering || '/' END || c.cluster_path AS circuit_id,
        'cluster' AS kind,
        c.clustering,
        g.is_primary,
        c.name AS anchor,
        c.* EXCLUDE (clustering, name, top_cluster, sub_module, subsub_module, layer_min, layer_max, median_layer),
        a.graph_count,
        a.group_count
    FROM clustering_clusters AS c
    JOIN clusterings AS g USING (clustering)
    LEFT JOIN input.circuit_activity AS a
        ON a.circuit_id = CASE WHEN g.is_primary THEN '' ELSE c.clustering || '/' END || c.cluster_path
    UNION ALL BY NAME
    SELECT c.* EXCLUDE (token_ids, anchored_count), true AS is_primary
    FROM anchored_circuits AS c
)
SELECT
    b.*,
    m.layer_min,
    m.layer_max,
    m.median_layer,
    coalesce(m.labelled_count, 0) AS labelled_count,
    CASE WHEN m.labelled_count > 1 THEN coalesce(t.coherence, 0) END AS label_coherence,
    CASE WHEN m.labelled_count > 1 THEN m.control_coherence END AS control_coherence,
    nullif(t.terms, '') AS terms,
    -- Of a large circuit, only the first hundred are looked at: comparing all with each other takes their square.
    list_filter(m.labels, lambda label, place: list_position(m.labels, label) = place)[1:3] AS sample_labels,
    CASE WHEN b.half_agreement IS NOT NULL THEN coalesce(b.half_agreement >= 0.5 AND b.null_fdr < 0.05, false) END AS is_found_again,
    e.effect,
    e.control_effect_max
FROM of_both_kinds AS b
LEFT JOIN members AS m USING (circuit_id)
LEFT JOIN input.circuit_terms AS t USING (circuit_id)
LEFT JOIN circuit_effects AS e USING (circuit_id)
ORDER BY b.size DESC, b.level, b.circuit_id;
