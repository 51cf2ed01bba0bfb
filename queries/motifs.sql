-- Motifs of three neurons A, B, C among the edges of a set: how often each occurs, beside what the layer-pair null expects, in which every neuron keeps
-- its number of edges to and from each layer and chooses partners at random. The expectation is the sum over neurons of
-- out(A, layer B) * out(A, layer C) * in(B, layer A) * out(B, layer C) * in(C, layer A) * in(C, layer B) / (edges AB * edges BC * edges AC)
-- (Chung and Lu 2002, per pair of layers). Where neurons are joined to most of a layer, this needs more than one edge for a pair: saturated_share is the
-- share of such edges, and above a few percent the expected triangles are too many; ask with a larger $min_graphs. The counts of chains, fan-ins and fan-outs follow from the degrees that the null keeps; closing them does not.
--
-- $within NEURONS: only edges between neurons of this set, as an expression or ids
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
WITH kept AS MATERIALIZED (
    SELECT DISTINCT e.src_layer AS a_layer, e.src_neuron AS a, e.tgt_layer AS b_layer, e.tgt_neuron AS b
    FROM edges AS e
    SEMI JOIN within AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    SEMI JOIN within AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
    WHERE e.src_layer < e.tgt_layer AND ($min_graphs IS NULL OR coalesce(e.graph_count, e.count) >= $min_graphs)
),
outs AS MATERIALIZED (
    SELECT a_layer AS layer, a AS neuron, b_layer AS to_layer, count(*) AS degree FROM kept GROUP BY ALL
),
ins AS MATERIALIZED (
    SELECT b_layer AS layer, b AS neuron, a_layer AS from_layer, count(*) AS degree FROM kept GROUP BY ALL
),
pairs AS (
    SELECT a_layer, b_layer, count(*)::DOUBLE AS edge_count FROM kept GROUP BY ALL
),
-- Sums over the neurons of a layer of the products of two of their degrees.
first_sums AS (
    SELECT x.layer AS a_layer, x.to_layer AS b_layer, y.to_layer AS c_layer, sum(x.degree * y.degree)::DOUBLE AS total
    FROM outs AS x
    JOIN outs AS y ON y.layer = x.layer AND y.neuron = x.neuron AND y.to_layer > x.to_layer
    GROUP BY ALL
),
second_sums AS (
    SELECT x.from_layer AS a_layer, x.layer AS b_layer, y.to_layer AS c_layer, sum(x.degree * y.degree)::DOUBLE AS total
    FROM ins AS x
    JOIN outs AS y ON y.layer = x.layer AND y.neuron = x.neuron
    GROUP BY ALL
),
third_sums AS (
    SELECT x.from_layer AS a_layer, y.from_layer AS b_layer, x.layer AS c_layer, sum(x.degree * y.degree)::DOUBLE AS total
    FROM ins AS x
    JOIN ins AS y ON y.layer = x.layer AND y.neuron = x.neuron AND y.from_layer > x.from_layer
    GROUP BY ALL
),
expected AS (
    SELECT sum(f.total * s.total * t.total / (ab.edge_count * bc.edge_count * ac.edge_count)) AS count
    FROM first_sums AS f
    JOIN second_sums AS s USING (a_layer, b_layer, c_layer)
    JOIN third_sums AS t USING (a_layer, b_layer, c_layer)
    JOIN pairs AS ab ON ab.a_layer = f.a_layer AND ab.b_layer = f.b_layer
    JOIN pairs AS bc ON bc.a_layer = f.b_layer AND bc.b_layer = f.c_layer
    JOIN pairs AS ac ON ac.a_layer = f.a_layer AND ac.b_layer = f.c_layer
),
closed AS (
    SELECT count(*) AS count
    FROM kept AS ab
    JOIN kept AS bc ON bc.a_layer = ab.b_layer AND bc.a = ab.b
    JOIN kept AS ac ON ac.a_layer = ab.a_layer AND ac.a = ab.a AND ac.b_layer = bc.b_layer AND ac.b = bc.b
),
total_outs AS (
    SELECT layer, neuron, sum(degree) AS degree FROM outs GROUP BY ALL
),
total_ins AS (
    SELECT layer, neuron, sum(degree) AS degree FROM ins GROUP BY ALL
),
-- Numbers of neurons by degree, for the pairs that would need more than one edge.
out_histogram AS (
    SELECT layer, to_layer, degree, count(*) AS neurons FROM outs GROUP BY ALL
),
in_histogram AS (
    SELECT layer, from_layer, degree, count(*) AS neurons FROM ins GROUP BY ALL
),
saturation AS (
    SELECT sum(o.neurons * i.neurons * greatest(o.degree * i.degree / p.edge_count - 1, 0)) / (SELECT count(*) FROM kept) AS share
    FROM out_histogram AS o
    JOIN in_histogram AS i ON i.layer = o.to_layer AND i.from_layer = o.layer
    JOIN pairs AS p ON p.a_layer = o.layer AND p.b_layer = o.to_layer
),
counted AS (
    SELECT
        (SELECT share FROM saturation) AS saturated_share,
        (SELECT count FROM closed) AS closed,
        coalesce((SELECT count FROM expected), 0) AS expected,
        (SELECT coalesce(sum(i.degree * o.degree), 0) FROM total_ins AS i JOIN total_outs AS o USING (layer, neuron)) AS chains,
        (SELECT coalesce(sum(degree * (degree - 1) / 2), 0) FROM total_outs) AS fan_outs,
        (SELECT coalesce(sum(degree * (degree - 1) / 2), 0) FROM total_ins) AS fan_ins
)
SELECT
    motif,
    shape,
    motif_count,
    expected_count,
    motif_count / nullif(expected_count, 0) AS ratio,
    saturated_share
FROM (
    SELECT
        saturated_share,
        unnest(['triangle', 'chain', 'fan-out', 'fan-in']) AS motif,
        unnest(['A -> B -> C, A -> C', 'A -> B -> C, not A -> C', 'A -> B, A -> C, not B - C', 'A -> C, B -> C, not A - B']) AS shape,
        unnest([closed, chains - closed, fan_outs - closed, fan_ins - closed])::BIGINT AS motif_count,
        unnest([expected, chains - expected, fan_outs - expected, fan_ins - expected])::DOUBLE AS expected_count
    FROM counted
)
ORDER BY motif = 'triangle' DESC, motif
