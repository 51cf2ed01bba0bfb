-- Neurons that are most like those of a set: by the cosine of the sums of the weights of their edges (inputs, outputs, or the mean of both), of the
-- graphs that they are in, of their wiring by weights alone, or of the words of their labels.
-- control_share is the share of other neurons of the same layer, with half to twice as many edges, that are as similar: what chance gives.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $by VARCHAR of inputs, outputs, both, graphs, weights, labels: what is compared; both where left out
-- $limit BIGINT: at most this many rows; 20 where left out
--
-- Macro: similar_neurons(id, by := 'both', top := 20)
-- Example: FROM similar_neurons('{neuron_id}', by := 'inputs');
WITH
-- Every neuron as vectors, each of a kind: what it is compared by, and with which weight.
mine AS MATERIALIZED (
    SELECT 'inputs' AS kind, c.layer, c.neuron, (e.src_layer::BIGINT << 24) | e.src_neuron AS other, e.weight_sum AS weight
    FROM edges_by_target AS e
    JOIN chosen AS c ON c.layer = e.tgt_layer AND c.neuron = e.tgt_neuron
    WHERE coalesce($by, 'both') IN ('inputs', 'both')
    UNION ALL
    SELECT 'outputs', c.layer, c.neuron, (e.tgt_layer::BIGINT << 24) | e.tgt_neuron, e.weight_sum
    FROM edges AS e
    JOIN chosen AS c ON c.layer = e.src_layer AND c.neuron = e.src_neuron
    WHERE coalesce($by, 'both') IN ('outputs', 'both')
    UNION ALL
    SELECT 'graphs', c.layer, c.neuron, g.graph_id, 1
    FROM neuron_graphs AS g
    JOIN chosen AS c USING (layer, neuron)
    WHERE $by = 'graphs'
    UNION ALL
    SELECT 'weights', c.layer, c.neuron, (w.tgt_layer::BIGINT << 24) | w.tgt_neuron, w.strength
    FROM connections AS w
    JOIN chosen AS c ON c.layer = w.src_layer AND c.neuron = w.src_neuron
    WHERE $by = 'weights'
    UNION ALL
    SELECT DISTINCT 'labels', c.layer, c.neuron, p.term_id, ln((SELECT count(*) FROM label_documents) / t.label_count)
    FROM label_documents AS d
    JOIN chosen AS c USING (layer, neuron)
    JOIN label_postings AS p USING (label_id)
    JOIN label_terms AS t USING (term_id)
    WHERE $by = 'labels' AND p.text_count > 0
),
ends AS MATERIALIZED (
    SELECT DISTINCT kind, other, other >> 24 AS layer, other & 16777215 AS neuron FROM mine
),
theirs AS (
    SELECT 'inputs' AS kind, e.tgt_layer AS layer, e.tgt_neuron AS neuron, o.other, e.weight_sum AS weight
    FROM edges AS e
    JOIN ends AS o ON o.layer = e.src_layer AND o.neuron = e.src_neuron
    WHERE o.kind = 'inputs'
    UNION ALL
    SELECT 'outputs', e.src_layer, e.src_neuron, o.other, e.weight_sum
    FROM edges_by_target AS e
    JOIN ends AS o ON o.layer = e.tgt_layer AND o.neuron = e.tgt_neuron
    WHERE o.kind = 'outputs'
    UNION ALL
    SELECT 'graphs', g.layer, g.neuron, g.graph_id, 1
    FROM neuron_graphs AS g
    SEMI JOIN ends AS o ON o.other = g.graph_id
    WHERE $by = 'graphs'
    UNION ALL
    SELECT 'weights', w.src_layer, w.src_neuron, o.other, w.strength
    FROM connections AS w
    JOIN ends AS o ON o.layer = w.tgt_layer AND o.neuron = w.tgt_neuron
    WHERE $by = 'weights'
    UNION ALL
    SELECT DISTINCT 'labels', d.layer, d.neuron, p.term_id, ln((SELECT count(*) FROM label_documents) / t.label_count)
    FROM label_postings AS p
    SEMI JOIN ends AS o ON o.other = p.term_id
    JOIN label_documents AS d USING (label_id)
    JOIN label_terms AS t USING (term_id)
    WHERE $by = 'labels' AND p.text_count > 0
),
products AS MATERIALIZED (
    SELECT m.kind, m.layer AS near_layer, m.neuron AS near_neuron, t.layer, t.neuron, sum(m.weight * t.weight) AS product, count(*) AS shared_count
    FROM theirs AS t
    JOIN mine AS m ON m.kind = t.kind AND m.other = t.other
    WHERE t.layer <> m.layer OR t.neuron <> m.neuron
    GROUP BY ALL
),
-- Lengths of the vectors, of which neurons keeps those of edges.
candidates AS (
    SELECT layer, neuron FROM products
    UNION
    SELECT layer, neuron FROM chosen
),
norms AS MATERIALIZED (
    SELECT unnest(['inputs', 'outputs', 'graphs']) AS kind, layer, neuron, unnest([input_weight_norm, output_weight_norm, sqrt(appearance_count)]) AS norm
    FROM neurons
    SEMI JOIN candidates USING (layer, neuron)
    WHERE coalesce($by, 'both') NOT IN ('weights', 'labels')
    UNION ALL
    SELECT 'weights', w.src_layer, w.src_neuron, sqrt(sum(w.strength ** 2))
    FROM connections AS w
    SEMI JOIN candidates AS c ON c.layer = w.src_layer AND c.neuron = w.src_neuron
    WHERE $by = 'weights'
    GROUP BY ALL
    UNION ALL
    SELECT 'labels', layer, neuron, sqrt(sum(ln((SELECT count(*) FROM label_documents) / label_count) ** 2))
    FROM (
        SELECT DISTINCT d.layer, d.neuron, t.term_id, t.label_count
        FROM label_postings AS p
        JOIN label_documents AS d USING (label_id)
        JOIN label_terms AS t USING (term_id)
        SEMI JOIN candidates AS c ON c.layer = d.layer AND c.neuron = d.neuron
        WHERE $by = 'labels' AND p.text_count > 0
    )
    GROUP BY ALL
),
cosines AS (
    SELECT
        p.near_layer,
        p.near_neuron,
        p.layer,
        p.neuron,
        sum(p.product / (a.norm * b.norm)) FILTER (p.kind = 'inputs') AS input_cosine,
        sum(p.product / (a.norm * b.norm)) FILTER (p.kind = 'outputs') AS output_cosine,
        sum(p.product / (a.norm * b.norm)) / CASE WHEN coalesce($by, 'both') = 'both' THEN 2 ELSE 1 END AS cosine,
        sum(p.shared_count) AS shared_count
    FROM products AS p
    JOIN norms AS a ON a.kind = p.kind AND a.layer = p.near_layer AND a.neuron = p.near_neuron
    JOIN norms AS b ON b.kind = p.kind AND b.layer = p.layer AND b.neuron = p.neuron
    WHERE a.norm > 0 AND b.norm > 0
    GROUP BY ALL
),
scored AS MATERIALIZED (
    SELECT c.*, n.in_degree + n.out_degree AS degree
    FROM cosines AS c
    JOIN neurons AS n USING (layer, neuron)
),
best AS MATERIALIZED (
    SELECT *
    FROM scored
    QUALIFY row_number() OVER (PARTITION BY layer, neuron ORDER BY cosine DESC, near_layer, near_neuron) = 1
    ORDER BY cosine DESC, layer, neuron
    LIMIT coalesce($limit, 20)
),
controls AS (
    SELECT b.layer, b.neuron, count(*) AS control_count
    FROM best AS b
    JOIN neurons AS n ON n.layer = b.layer AND 2 * (n.in_degree + n.out_degree) >= b.degree AND n.in_degree + n.out_degree <= 2 * b.degree
    WHERE n.neuron <> b.neuron AND (n.layer <> b.near_layer OR n.neuron <> b.near_neuron)
    GROUP BY ALL
),
as_similar AS (
    SELECT b.layer, b.neuron, count(*) AS similar_count
    FROM best AS b
    JOIN scored AS s ON s.layer = b.layer AND s.near_layer = b.near_layer AND s.near_neuron = b.near_neuron
    WHERE s.neuron <> b.neuron AND s.cosine >= b.cosine AND 2 * s.degree >= b.degree AND s.degree <= 2 * b.degree
    GROUP BY ALL
)
SELECT
    n.neuron_id,
    n.layer,
    n.neuron,
    n.label,
    'L' || b.near_layer || '/N' || b.near_neuron AS near_id,
    b.cosine,
    b.input_cosine,
    b.output_cosine,
    b.shared_count,
    coalesce(s.similar_count, 0) / c.control_count AS control_share
FROM best AS b
JOIN neurons AS n USING (layer, neuron)
LEFT JOIN controls AS c USING (layer, neuron)
LEFT JOIN as_similar AS s USING (layer, neuron)
ORDER BY cosine DESC, layer, neuron
