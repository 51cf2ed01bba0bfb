-- Triangles of three neurons, A -> B -> C with A -> C, strongest first: a neuron that acts on another directly and through a third. A triangle is
-- coherent where the sign of A -> C is that of A -> B times B -> C, else incoherent.
--
-- $first NEURONS: what A may be, as an expression or ids
-- $second NEURONS: what B may be
-- $third NEURONS: what C may be
-- $sign VARCHAR of coherent, incoherent: only such triangles
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH
-- From the first edge on, so that small sets read few edges.
ab_edges AS MATERIALIZED (
    SELECT e.src_layer AS a_layer, e.src_neuron AS a, e.tgt_layer AS b_layer, e.tgt_neuron AS b, e.mean_weight AS weight, e.graph_count,
        coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
    FROM edges AS e
    JOIN first AS f ON f.layer = e.src_layer AND f.neuron = e.src_neuron
    JOIN second AS s ON s.layer = e.tgt_layer AND s.neuron = e.tgt_neuron
    WHERE (e.src_layer <> e.tgt_layer OR e.src_neuron <> e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
middles AS MATERIALIZED (
    SELECT DISTINCT b_layer, b FROM ab_edges
),
bc_edges AS MATERIALIZED (
    SELECT e.src_layer AS b_layer, e.src_neuron AS b, e.tgt_layer AS c_layer, e.tgt_neuron AS c, e.mean_weight AS weight, e.graph_count,
        coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
    FROM edges AS e
    JOIN middles AS m ON m.b_layer = e.src_layer AND m.b = e.src_neuron
    JOIN third AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
    WHERE (e.src_layer <> e.tgt_layer OR e.src_neuron <> e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
starts AS MATERIALIZED (
    SELECT DISTINCT a_layer, a FROM ab_edges
),
ac_edges AS MATERIALIZED (
    SELECT e.src_layer AS a_layer, e.src_neuron AS a, e.tgt_layer AS c_layer, e.tgt_neuron AS c, e.mean_weight AS weight, e.graph_count,
        coalesce(e.mean_abs_weight, abs(e.mean_weight)) AS strength
    FROM edges AS e
    JOIN starts AS s ON s.a_layer = e.src_layer AND s.a = e.src_neuron
    JOIN third AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
    WHERE (e.src_layer <> e.tgt_layer OR e.src_neuron <> e.tgt_neuron) AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
found AS (
    SELECT
        ab.a_layer,
        ab.a AS a_neuron,
        ab.b_layer,
        ab.b AS b_neuron,
        bc.c_layer,
        bc.c AS c_neuron,
        ab.weight AS ab_weight,
        bc.weight AS bc_weight,
        ac.weight AS ac_weight,
        CASE WHEN sign(ab.weight) * sign(bc.weight) = sign(ac.weight) THEN 'coherent' ELSE 'incoherent' END AS sign,
        least(ab.strength, bc.strength, ac.strength) AS strength,
        least(ab.graph_count, bc.graph_count, ac.graph_count) AS graph_count
    FROM ab_edges AS ab
    JOIN bc_edges AS bc USING (b_layer, b)
    JOIN ac_edges AS ac ON ac.a_layer = ab.a_layer AND ac.a = ab.a AND ac.c_layer = bc.c_layer AND ac.c = bc.c
)
SELECT
    a.neuron_id AS a_id,
    b.neuron_id AS b_id,
    c.neuron_id AS c_id,
    a.label AS a_label,
    b.label AS b_label,
    c.label AS c_label,
    f.ab_weight,
    f.bc_weight,
    f.ac_weight,
    f.sign,
    f.strength,
    f.graph_count
FROM found AS f
JOIN neurons AS a ON a.layer = f.a_layer AND a.neuron = f.a_neuron
JOIN neurons AS b ON b.layer = f.b_layer AND b.neuron = f.b_neuron
JOIN neurons AS c ON c.layer = f.c_layer AND c.neuron = f.c_neuron
WHERE $sign IS NULL OR f.sign = $sign
ORDER BY f.strength DESC, f.a_layer, f.a_neuron, f.b_layer, f.b_neuron, f.c_layer, f.c_neuron
LIMIT $limit
