-- Other circuits that a circuit drives, and that drive it, by the weight of the edges between them: clusters of the same clustering and level,
-- or, of an anchored circuit, anchored circuits that are found again. Edges between neurons that both circuits hold do not count.
-- Example: FROM circuit_partners('{cluster_path}') LIMIT 10;
CREATE MACRO circuit_partners(path) AS TABLE
WITH me AS (
    SELECT circuit_id, kind, clustering, level
    FROM circuits
    WHERE circuit_id = circuit_named(path)
),
members AS MATERIALIZED (
    SELECT layer, neuron FROM circuit_members WHERE circuit_id = (SELECT circuit_id FROM me)
),
others AS MATERIALIZED (
    SELECT m.circuit_id, m.layer, m.neuron
    FROM circuit_members AS m
    JOIN circuits AS c USING (circuit_id)
    JOIN me ON c.circuit_id <> me.circuit_id
        AND (c.kind = 'cluster') = (me.kind = 'cluster')
        AND c.clustering IS NOT DISTINCT FROM me.clustering
        AND c.level IS NOT DISTINCT FROM me.level
    WHERE (c.kind = 'cluster' OR c.is_found_again)
        AND NOT EXISTS (FROM members AS mine WHERE mine.layer = m.layer AND mine.neuron = m.neuron)
),
between_them AS (
    SELECT 'drives' AS direction, o.circuit_id, e.count, e.mean_weight, coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
    FROM edges AS e
    JOIN members AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    JOIN others AS o ON o.layer = e.tgt_layer AND o.neuron = e.tgt_neuron
    UNION ALL
    SELECT 'driven by', o.circuit_id, e.count, e.mean_weight, coalesce(e.mean_abs_weight, abs(e.mean_weight))
    FROM edges_by_target AS e
    JOIN members AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
    JOIN others AS o ON o.layer = e.src_layer AND o.neuron = e.src_neuron
)
SELECT
    b.direction,
    b.circuit_id,
    coalesce(c.anchor, c.terms) AS name,
    count(*) AS edge_count,
    sum(b.count * b.mean_weight) AS weight_sum,
    sum(b.count * b.strength) AS weight_abs_sum,
    c.is_found_again
FROM between_them AS b
JOIN circuits AS c USING (circuit_id)
GROUP BY b.direction, b.circuit_id, c.anchor, c.terms, c.is_found_again
ORDER BY direction, weight_abs_sum DESC, circuit_id;
