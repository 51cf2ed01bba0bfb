-- Neurons with the most alike edges to those of a set: the cosine of the sums of their weights, of inputs, of outputs, and the mean of both.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $by VARCHAR: inputs, outputs or both; both where left out
-- $limit BIGINT: at most this many rows
WITH sides AS (
    SELECT 'inputs' AS side, tgt_layer AS layer, tgt_neuron AS neuron, src_layer AS other_layer, src_neuron AS other, weight_sum FROM edges_by_target
    UNION ALL
    SELECT 'outputs', src_layer, src_neuron, tgt_layer, tgt_neuron, weight_sum FROM edges
),
mine AS (
    SELECT s.* FROM sides AS s JOIN chosen USING (layer, neuron)
),
shared AS (
    SELECT
        m.side,
        m.layer AS near_layer,
        m.neuron AS near_neuron,
        s.layer,
        s.neuron,
        sum(m.weight_sum * s.weight_sum) AS product,
        count(*) AS shared_count
    FROM mine AS m
    JOIN sides AS s ON s.side = m.side AND s.other_layer = m.other_layer AND s.other = m.other
    WHERE (s.layer, s.neuron) <> (m.layer, m.neuron)
    GROUP BY ALL
),
norms AS (
    SELECT side, layer, neuron, sqrt(sum(weight_sum ** 2)) AS norm FROM sides GROUP BY ALL
),
cosines AS (
    SELECT
        s.near_layer,
        s.near_neuron,
        s.layer,
        s.neuron,
        sum(s.product / (a.norm * b.norm)) FILTER (s.side = 'inputs') AS input_cosine,
        sum(s.product / (a.norm * b.norm)) FILTER (s.side = 'outputs') AS output_cosine,
        sum(s.shared_count) AS shared_count
    FROM shared AS s
    JOIN norms AS a ON a.side = s.side AND a.layer = s.near_layer AND a.neuron = s.near_neuron
    JOIN norms AS b ON b.side = s.side AND b.layer = s.layer AND b.neuron = s.neuron
    WHERE a.norm > 0 AND b.norm > 0
    GROUP BY ALL
),
scored AS (
    SELECT
        *,
        CASE
            WHEN $by = 'inputs' THEN input_cosine
            WHEN $by = 'outputs' THEN output_cosine
            ELSE (coalesce(input_cosine, 0) + coalesce(output_cosine, 0)) / 2
        END AS cosine
    FROM cosines
)
SELECT
    n.neuron_id,
    n.label,
    'L' || c.near_layer || '/N' || c.near_neuron AS near_id,
    c.cosine,
    c.input_cosine,
    c.output_cosine,
    c.shared_count
FROM scored AS c
JOIN neurons AS n USING (layer, neuron)
WHERE c.cosine IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY n.layer, n.neuron ORDER BY c.cosine DESC, c.near_layer, c.near_neuron) = 1
ORDER BY c.cosine DESC, n.layer, n.neuron
LIMIT $limit
