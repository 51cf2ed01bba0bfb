-- Compare two corpora per neuron and per edge. The catalogs `a` and `b` contain the views
-- neurons(layer, neuron, label, graph_count), edges(src_layer, ..., count, graph_count, mean_weight, std_weight) and
-- facts(graphs, is_whole): number of graphs (NULL if unknown), and whether a missing edge was not observed.

-- Two-sided p-value of a standard normal deviate. erfc is a Chebyshev fit with relative error below 1.2e-7 everywhere
-- (Press et al., Numerical Recipes, section 6.2).
CREATE MACRO erfc_at(x, t) AS
    t * exp(-x * x - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));
CREATE MACRO tail(z) AS erfc_at(abs(z) / sqrt(2), 1 / (1 + abs(z) / sqrt(2) / 2));

-- Bounds of a proportion k / n (Wilson 1927), z = 1.96.
CREATE MACRO wilson(k, n, side) AS
    (k + 1.9207294 + side * 1.959964 * sqrt(k * (n - k) / n + 0.9603647)) / (n + 3.8414588);

CREATE MACRO compared(k_a, n_a, k_b, n_b) AS {
    'difference': k_a / n_a - k_b / n_b,
    -- Interval of the difference of two proportions: Newcombe 1998, method 10.
    'low': k_a / n_a - k_b / n_b - sqrt((k_a / n_a - wilson(k_a, n_a, -1)) ** 2 + (wilson(k_b, n_b, 1) - k_b / n_b) ** 2),
    'high': k_a / n_a - k_b / n_b + sqrt((wilson(k_a, n_a, 1) - k_a / n_a) ** 2 + (k_b / n_b - wilson(k_b, n_b, -1)) ** 2),
    'ratio': (k_a / n_a) / nullif(k_b / n_b, 0),
    -- The normal approximation needs at least five expected graphs on each side (Cochran 1954).
    'z': CASE
        WHEN least(n_a, n_b) * least((k_a + k_b) / (n_a + n_b), 1 - (k_a + k_b) / (n_a + n_b)) >= 5
            THEN (k_a / n_a - k_b / n_b) / sqrt((k_a + k_b) / (n_a + n_b) * (1 - (k_a + k_b) / (n_a + n_b)) * (1 / n_a + 1 / n_b))
    END
};

-- Normal deviate with the p-value of Student's t with df degrees of freedom, and the 97.5 % quantile of Student's t
-- (Abramowitz and Stegun 26.7.8 and 26.7.5).
CREATE MACRO deviate(t, df) AS t * (1 - 1 / (4 * df)) / sqrt(1 + t ** 2 / (2 * df));
CREATE MACRO t_point(df) AS 1.959964 + 2.372271 / df + 2.822549 / df ** 2 + 2.555850 / df ** 3;

CREATE TABLE neurons AS
WITH paired AS (
    SELECT
        layer,
        neuron,
        coalesce(x.label, y.label) AS label,
        coalesce(x.graph_count, CASE WHEN x.layer IS NULL THEN 0 END) AS graphs_a,
        coalesce(y.graph_count, CASE WHEN y.layer IS NULL THEN 0 END) AS graphs_b,
        -- A count that exceeds the number of graphs is not a number of graphs. The frequency is then NULL.
        CASE WHEN graphs_a <= fa.graphs THEN fa.graphs::DOUBLE END AS n_a,
        CASE WHEN graphs_b <= fb.graphs THEN fb.graphs::DOUBLE END AS n_b
    FROM a.neurons AS x
    FULL JOIN b.neurons AS y USING (layer, neuron)
    CROSS JOIN a.facts AS fa
    CROSS JOIN b.facts AS fb
),
measured AS (SELECT *, compared(graphs_a, n_a, graphs_b, n_b) AS c FROM paired),
tested AS (SELECT *, tail(c.z) AS p_value FROM measured),
ranked AS (
    SELECT *, count(p_value) OVER () AS tests, count(p_value) OVER (ORDER BY p_value) AS place FROM tested
)
SELECT
    layer,
    neuron,
    label,
    graphs_a::INTEGER AS graphs_a,
    graphs_b::INTEGER AS graphs_b,
    (graphs_a / n_a)::FLOAT AS frequency_a,
    (graphs_b / n_b)::FLOAT AS frequency_b,
    c.difference::FLOAT AS difference,
    c.low::FLOAT AS difference_low,
    c.high::FLOAT AS difference_high,
    c.ratio::FLOAT AS ratio,
    p_value,
    -- Benjamini and Hochberg 1995.
    CASE WHEN p_value IS NOT NULL THEN least(min(p_value * tests / place) OVER (ORDER BY p_value DESC), 1) END AS q_value
FROM ranked
ORDER BY layer, neuron;

CREATE TABLE edges AS
WITH paired AS (
    SELECT
        src_layer,
        src_neuron,
        tgt_layer,
        tgt_neuron,
        x.mean_weight AS mean_a,
        y.mean_weight AS mean_b,
        x.std_weight AS std_a,
        y.std_weight AS std_b,
        -- If a side lists only the strongest partners, an edge that is missing may still have been observed.
        coalesce(x.count, CASE WHEN x.src_layer IS NULL AND fa.is_whole THEN 0 END) AS links_a,
        coalesce(y.count, CASE WHEN y.src_layer IS NULL AND fb.is_whole THEN 0 END) AS links_b,
        coalesce(x.graph_count, CASE WHEN x.src_layer IS NULL AND fa.is_whole THEN 0 END) AS graphs_a,
        coalesce(y.graph_count, CASE WHEN y.src_layer IS NULL AND fb.is_whole THEN 0 END) AS graphs_b,
        fa.graphs::DOUBLE AS n_a,
        fb.graphs::DOUBLE AS n_b
    FROM a.edges AS x
    FULL JOIN b.edges AS y USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
    CROSS JOIN a.facts AS fa
    CROSS JOIN b.facts AS fb
),
measured AS (
    SELECT
        *,
        compared(graphs_a, n_a, graphs_b, n_b) AS c,
        -- Welch's test treats links as independent draws and needs at least ten links on each side.
        CASE WHEN least(links_a, links_b) >= 10 THEN std_a ** 2 / (links_a - 1) END AS variance_a,
        CASE WHEN least(links_a, links_b) >= 10 THEN std_b ** 2 / (links_b - 1) END AS variance_b,
        sqrt(variance_a + variance_b) AS mean_error,
        (variance_a + variance_b) ** 2
        / nullif(variance_a ** 2 / (links_a - 1) + variance_b ** 2 / (links_b - 1), 0) AS freedom
    FROM paired
),
tested AS (
    SELECT *, tail(c.z) AS p_value, tail(deviate((mean_a - mean_b) / nullif(mean_error, 0), freedom)) AS mean_p_value
    FROM measured
),
ranked AS (
    SELECT
        *,
        count(p_value) OVER () AS tests,
        count(p_value) OVER (ORDER BY p_value) AS place,
        count(mean_p_value) OVER () AS mean_tests,
        count(mean_p_value) OVER (ORDER BY mean_p_value) AS mean_place
    FROM tested
)
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    links_a::INTEGER AS links_a,
    links_b::INTEGER AS links_b,
    graphs_a::INTEGER AS graphs_a,
    graphs_b::INTEGER AS graphs_b,
    (graphs_a / n_a)::FLOAT AS frequency_a,
    (graphs_b / n_b)::FLOAT AS frequency_b,
    c.difference::FLOAT AS difference,
    c.low::FLOAT AS difference_low,
    c.high::FLOAT AS difference_high,
    c.ratio::FLOAT AS ratio,
    p_value,
    CASE WHEN p_value IS NOT NULL THEN least(min(p_value * tests / place) OVER (ORDER BY p_value DESC), 1) END AS q_value,
    ((links_a / n_a) / nullif(links_b / n_b, 0))::FLOAT AS link_ratio,
    mean_a::FLOAT AS mean_weight_a,
    mean_b::FLOAT AS mean_weight_b,
    (mean_a - mean_b)::FLOAT AS mean_difference,
    (mean_a - mean_b - t_point(freedom) * mean_error)::FLOAT AS mean_low,
    (mean_a - mean_b + t_point(freedom) * mean_error)::FLOAT AS mean_high,
    (mean_a / nullif(mean_b, 0))::FLOAT AS mean_ratio,
    mean_p_value,
    CASE
        WHEN mean_p_value IS NOT NULL THEN least(min(mean_p_value * mean_tests / mean_place) OVER (ORDER BY mean_p_value DESC), 1)
    END AS mean_q_value
FROM ranked
ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron;

DROP MACRO compared;
DROP MACRO deviate;
DROP MACRO t_point;
DROP MACRO wilson;
DROP MACRO tail;
DROP MACRO erfc_at;

CREATE VIEW different_neurons AS
FROM neurons
WHERE q_value < 0.05
ORDER BY abs(difference) DESC, layer, neuron;

CREATE VIEW different_edges AS
SELECT
    e.src_layer,
    e.src_neuron,
    e.tgt_layer,
    e.tgt_neuron,
    s.label AS src_label,
    t.label AS tgt_label,
    e.* EXCLUDE (src_layer, src_neuron, tgt_layer, tgt_neuron)
FROM edges AS e
LEFT JOIN neurons AS s ON s.layer = src_layer AND s.neuron = src_neuron
LEFT JOIN neurons AS t ON t.layer = tgt_layer AND t.neuron = tgt_neuron
WHERE e.q_value < 0.05 OR e.mean_q_value < 0.05
ORDER BY least(e.q_value, e.mean_q_value), abs(e.mean_difference) DESC NULLS LAST, src_layer, src_neuron, tgt_layer, tgt_neuron;

COMMENT ON TABLE neurons IS 'Neurons of both corpora: in how many graphs of each, and whether that differs by more than chance.';
COMMENT ON TABLE edges IS 'Edges of both corpora: graphs, links and mean weight in each, and whether they differ by more than chance.';
COMMENT ON VIEW different_neurons IS 'Neurons whose frequency differs at a false discovery rate of 5 %, largest difference first.';
COMMENT ON VIEW different_edges IS 'Edges whose frequency or mean weight differs at a false discovery rate of 5 %, surest first.';
COMMENT ON COLUMN neurons.label IS 'Label in A, or else in B; NULL where statistics without labels are compared.';
COMMENT ON COLUMN neurons.graphs_a IS 'Graphs of A in which it is a node; 0 where A does not have it.';
COMMENT ON COLUMN neurons.graphs_b IS 'The same of B.';
COMMENT ON COLUMN neurons.frequency_a IS 'graphs_a / graphs of A.';
COMMENT ON COLUMN neurons.frequency_b IS 'graphs_b / graphs of B.';
COMMENT ON COLUMN neurons.difference IS 'frequency_a - frequency_b.';
COMMENT ON COLUMN neurons.difference_low IS 'Lower bound of its 95 % confidence interval (Newcombe 1998, method 10).';
COMMENT ON COLUMN neurons.difference_high IS 'Upper bound.';
COMMENT ON COLUMN neurons.ratio IS 'frequency_a / frequency_b; NULL where B does not have it.';
COMMENT ON COLUMN neurons.p_value IS 'p-value of the difference (two proportions, pooled), assuming independent graphs; NULL if fewer than five graphs are expected on a side.';
COMMENT ON COLUMN neurons.q_value IS 'False discovery rate at which it differs (Benjamini and Hochberg 1995), over all neurons that have a p_value.';
COMMENT ON COLUMN edges.links_a IS 'Number of links in A; NULL if A lists only the strongest partners and this edge is not among them.';
COMMENT ON COLUMN edges.links_b IS 'The same of B.';
COMMENT ON COLUMN edges.graphs_a IS 'Graphs of A in which the two are linked; NULL where A does not count them.';
COMMENT ON COLUMN edges.graphs_b IS 'The same of B.';
COMMENT ON COLUMN edges.link_ratio IS 'Links per graph in A over links per graph in B.';
COMMENT ON COLUMN edges.mean_weight_a IS 'Mean weight of the links of A.';
COMMENT ON COLUMN edges.mean_weight_b IS 'The same of B.';
COMMENT ON COLUMN edges.mean_difference IS 'mean_weight_a - mean_weight_b.';
COMMENT ON COLUMN edges.mean_low IS 'Lower bound of its 95 % confidence interval (Welch); NULL for fewer than ten links on a side or where no deviation is known.';
COMMENT ON COLUMN edges.mean_high IS 'Upper bound.';
COMMENT ON COLUMN edges.mean_ratio IS 'mean_weight_a / mean_weight_b.';
COMMENT ON COLUMN edges.mean_p_value IS 'p-value of the difference of means (Welch), assuming independent links, so it is too small if one graph has many links. NULL for fewer than ten links on a side.';
COMMENT ON COLUMN edges.mean_q_value IS 'False discovery rate (Benjamini and Hochberg) over all edges with a mean_p_value.';
COMMENT ON COLUMN edges.q_value IS 'False discovery rate at which the frequency differs, over all edges that have a p_value.';
