-- Triangles of three neurons, A -> B -> C with A -> C, strongest first: a neuron that acts on another directly and through a third. A triangle is
-- coherent where the sign of A -> C is that of A -> B times B -> C, else incoherent.
--
-- $first NEURONS: what A may be, as an expression or ids
-- $second NEURONS: what B may be
-- $third NEURONS: what C may be
-- $sign VARCHAR of coherent, incoherent: only such triangles
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH kept AS MATERIALIZED (
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, mean_weight, coalesce(mean_abs_weight, abs(mean_weight)) AS strength, graph_count
    FROM edges
    WHERE (src_layer <> tgt_layer OR src_neuron <> tgt_neuron) AND ($min_graphs IS NULL OR coalesce(graph_count, count) >= $min_graphs)
),
found AS (
    SELECT
        ab.src_layer AS a_layer,
        ab.src_neuron AS a_neuron,
        ab.tgt_layer AS b_layer,
        ab.tgt_neuron AS b_neuron,
        bc.tgt_layer AS c_layer,
        bc.tgt_neuron AS c_neuron,
        ab.mean_weight AS ab_weight,
        bc.mean_weight AS bc_weight,
        ac.mean_weight AS ac_weight,
        CASE WHEN sign(ab.mean_weight) * sign(bc.mean_weight) = sign(ac.mean_weight) THEN 'coherent' ELSE 'incoherent' END AS sign,
        least(ab.strength, bc.strength, ac.strength) AS strength,
        least(ab.graph_count, bc.graph_count, ac.graph_count) AS graph_count
    FROM kept AS ab
    JOIN kept AS bc ON bc.src_layer = ab.tgt_layer AND bc.src_neuron = ab.tgt_neuron
    JOIN kept AS ac
        ON ac.src_layer = ab.src_layer AND ac.src_neuron = ab.src_neuron AND ac.tgt_layer = bc.tgt_layer AND ac.tgt_neuron = bc.tgt_neuron
    SEMI JOIN first AS a ON a.layer = ab.src_layer AND a.neuron = ab.src_neuron
    SEMI JOIN second AS b ON b.layer = ab.tgt_layer AND b.neuron = ab.tgt_neuron
    SEMI JOIN third AS c ON c.layer = bc.tgt_layer AND c.neuron = bc.tgt_neuron
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
