-- Compare two corpora per neuron and per edge. The unit of replication is the group of prompts. The catalogs `a` and `b`
-- contain
--     facts(graphs, is_whole, is_grouped, has_edge_groups)
--     group_sizes(name, graphs)
--     neurons(layer, neuron, label, top_cluster, graph_count), neuron_groups(layer, neuron, name, graphs)
--     edges(src_layer, ..., count, graph_count, mean_weight, std_weight), edge_groups(src_layer, ..., name, graphs, links, weight_sum)
-- `is_grouped` says that neuron_groups is complete; without it, graphs are taken as independent.

CREATE TABLE groups AS
SELECT
    row_number() OVER (ORDER BY name) - 1 AS id,
    name,
    coalesce(x.graphs, 0)::INTEGER AS graphs_a,
    coalesce(y.graphs, 0)::INTEGER AS graphs_b
FROM a.group_sizes AS x
FULL JOIN b.group_sizes AS y USING (name)
WHERE (SELECT is_grouped FROM a.facts) AND (SELECT is_grouped FROM b.facts);

SET VARIABLE n_a = (SELECT graphs::DOUBLE FROM a.facts);
SET VARIABLE n_b = (SELECT graphs::DOUBLE FROM b.facts);
SET VARIABLE total = (SELECT count(*) FROM groups);
SET VARIABLE groups_a = (SELECT count(*) FILTER (graphs_a > 0) FROM groups);
SET VARIABLE groups_b = (SELECT count(*) FILTER (graphs_b > 0) FROM groups);
SET VARIABLE shared = (SELECT count(*) FILTER (graphs_a > 0 AND graphs_b > 0) FROM groups);
-- Sums over groups of squares and products of the shares w = graphs of the group / graphs of the side.
SET VARIABLE w_aa = (SELECT sum((graphs_a / getvariable('n_a')) ** 2) FROM groups);
SET VARIABLE w_bb = (SELECT sum((graphs_b / getvariable('n_b')) ** 2) FROM groups);
SET VARIABLE w_ab = (SELECT sum(graphs_a / getvariable('n_a') * graphs_b / getvariable('n_b')) FROM groups);

-- Few groups on separate sides: every way of dealing the groups to the sides, as a bit mask of those on side A.
CREATE TEMP TABLE splits AS
SELECT
    mask,
    sum(graphs_a + graphs_b) FILTER (mask >> id & 1 = 1)::DOUBLE AS n_a,
    sum(graphs_a + graphs_b) FILTER (mask >> id & 1 = 0)::DOUBLE AS n_b
FROM (
    SELECT range AS mask
    FROM range(CASE WHEN getvariable('total') BETWEEN 2 AND 12 AND getvariable('shared') = 0 THEN 1 << getvariable('total')::INTEGER ELSE 0 END)
    WHERE bit_count(range) = getvariable('groups_a')
) AS ways
CROSS JOIN groups
GROUP BY mask;

-- Test the frequencies of units by group: rows (unit, id of the group, k_a, k_b graphs that have the unit).
CREATE OR REPLACE TEMP MACRO tested(rows) AS TABLE
WITH summed AS (
    SELECT
        unit,
        sum(k_a)::DOUBLE AS k_a,
        sum(k_b)::DOUBLE AS k_b,
        count(*) FILTER (k_a > 0) AS f_a,
        count(*) FILTER (k_b > 0) AS f_b,
        sum(x * x) AS xx,
        sum(x * g.graphs_a / getvariable('n_a')) AS xa,
        sum(x * g.graphs_b / getvariable('n_b')) AS xb,
        coalesce(sum(k_a / nullif(g.graphs_a, 0)), 0) AS y_a,
        coalesce(sum(k_b / nullif(g.graphs_b, 0)), 0) AS y_b,
        coalesce(sum((k_a / nullif(g.graphs_a, 0)) ** 2), 0) AS yy_a,
        coalesce(sum((k_b / nullif(g.graphs_b, 0)) ** 2), 0) AS yy_b
    FROM (SELECT *, k_a / getvariable('n_a') - k_b / getvariable('n_b') AS x FROM query_table(rows))
    JOIN groups AS g USING (id)
    GROUP BY unit
),
-- Groups without the unit count, too: their part of each sum is known in closed form.
-- Groups on separate sides: the variance of a group's frequency about that of its side, pooled over the sides as in
-- Student's t test, times the sum of squared shares. Groups on both sides: groups as clusters (Liang and Zeger 1986;
-- factor m / (m - 1)), the sum over groups of (x - p_a w_a + p_b w_b)^2.
robust AS (
    SELECT
        *,
        k_a / getvariable('n_a') AS p_a,
        k_b / getvariable('n_b') AS p_b,
        CASE
            WHEN getvariable('shared') = 0 THEN
                greatest(
                    yy_a - 2 * p_a * y_a + getvariable('groups_a') * p_a ** 2
                    + yy_b - 2 * p_b * y_b + getvariable('groups_b') * p_b ** 2,
                    0
                ) / nullif(getvariable('total') - 2, 0) * (getvariable('w_aa') + getvariable('w_bb'))
            ELSE
                greatest(
                    xx - 2 * (p_a * xa - p_b * xb) + p_a ** 2 * getvariable('w_aa') + p_b ** 2 * getvariable('w_bb')
                    - 2 * p_a * p_b * getvariable('w_ab'),
                    0
                ) * getvariable('total') / (getvariable('total') - 1)
        END AS variance
    FROM summed
),
dealt AS (
    SELECT
        unit,
        mask,
        coalesce(sum(k_a + k_b) FILTER (mask >> id & 1 = 1), 0) / any_value(s.n_a)
        - coalesce(sum(k_a + k_b) FILTER (mask >> id & 1 = 0), 0) / any_value(s.n_b) AS difference
    FROM query_table(rows)
    CROSS JOIN splits AS s
    GROUP BY unit, mask
),
permuted AS (
    SELECT unit, avg((abs(dealt.difference) >= abs(p_a - p_b) - 1e-12)::INTEGER) AS p_value
    FROM dealt
    JOIN robust USING (unit)
    GROUP BY unit
)
SELECT
    unit,
    k_a,
    k_b,
    f_a,
    f_b,
    p_a - p_b AS difference,
    sqrt(variance) AS error,
    CASE
        WHEN permuted.p_value IS NOT NULL THEN 'permutation'
        WHEN getvariable('shared') = 0 AND (f_a + f_b < 5 OR coalesce(variance, 0) <= 1e-18) THEN 'exact'
        WHEN getvariable('shared') = 0 AND least(getvariable('groups_a'), getvariable('groups_b')) >= 2 THEN 'cluster'
        WHEN getvariable('shared') = 0 THEN 'exact'
        WHEN getvariable('total') > 12
            AND variance > 1e-18
            AND enough(k_a, getvariable('n_a'), k_b, getvariable('n_b')) THEN 'cluster'
    END AS test,
    CASE test
        WHEN 'permutation' THEN permuted.p_value
        WHEN 'exact' THEN fisher_p(f_a, getvariable('groups_a'), f_b, getvariable('groups_b'))
        WHEN 'cluster' THEN student_p((p_a - p_b) / nullif(sqrt(variance), 0), getvariable('total') - 2)
    END AS p_value
FROM robust
LEFT JOIN permuted USING (unit);

CREATE TEMP TABLE neuron_units AS
SELECT
    row_number() OVER () AS unit,
    layer,
    neuron,
    coalesce(x.label, y.label) AS label,
    coalesce(x.top_cluster, y.top_cluster) AS top_cluster,
    coalesce(x.graph_count, CASE WHEN x.layer IS NULL THEN 0 END) AS graphs_a,
    coalesce(y.graph_count, CASE WHEN y.layer IS NULL THEN 0 END) AS graphs_b
FROM a.neurons AS x
FULL JOIN b.neurons AS y USING (layer, neuron);

CREATE TEMP TABLE neuron_rows AS
SELECT unit, id, sum(k_a)::DOUBLE AS k_a, sum(k_b)::DOUBLE AS k_b
FROM (
    SELECT layer, neuron, name, graphs AS k_a, 0 AS k_b FROM a.neuron_groups
    UNION ALL
    SELECT layer, neuron, name, 0, graphs FROM b.neuron_groups
)
JOIN groups USING (name)
JOIN neuron_units USING (layer, neuron)
GROUP BY unit, id;

CREATE TABLE neurons AS
WITH measured AS (
    SELECT
        u.*,
        t.* EXCLUDE (unit, k_a, k_b, difference, p_value, test),
        -- A count that exceeds the number of graphs is not a number of graphs. The frequency is then NULL.
        CASE WHEN graphs_a <= getvariable('n_a') THEN getvariable('n_a') END AS n_a,
        CASE WHEN graphs_b <= getvariable('n_b') THEN getvariable('n_b') END AS n_b,
        coalesce(t.test, CASE WHEN getvariable('total') = 0 AND enough(graphs_a, n_a, graphs_b, n_b) THEN 'independent' END) AS test,
        CASE
            WHEN n_a IS NULL OR n_b IS NULL THEN NULL
            WHEN getvariable('total') > 0 THEN t.p_value
            WHEN enough(graphs_a, n_a, graphs_b, n_b) THEN normal_p(independent_z(graphs_a, n_a, graphs_b, n_b))
        END AS p_value
    FROM neuron_units AS u
    LEFT JOIN tested('neuron_rows') AS t USING (unit)
),
ranked AS (
    SELECT *, count(p_value) OVER () AS tests, count(p_value) OVER (ORDER BY p_value) AS place FROM measured
)
SELECT
    layer,
    neuron,
    label,
    top_cluster,
    graphs_a::INTEGER AS graphs_a,
    graphs_b::INTEGER AS graphs_b,
    f_a::INTEGER AS groups_a,
    f_b::INTEGER AS groups_b,
    (graphs_a / n_a)::FLOAT AS frequency_a,
    (graphs_b / n_b)::FLOAT AS frequency_b,
    (graphs_a / n_a - graphs_b / n_b)::FLOAT AS difference,
    CASE
        WHEN getvariable('total') = 0 THEN newcombe_low(graphs_a, n_a, graphs_b, n_b)
        WHEN test = 'cluster' THEN greatest(graphs_a / n_a - graphs_b / n_b - t_point(getvariable('total') - 2) * error, -1)
    END::FLOAT AS difference_low,
    CASE
        WHEN getvariable('total') = 0 THEN newcombe_high(graphs_a, n_a, graphs_b, n_b)
        WHEN test = 'cluster' THEN least(graphs_a / n_a - graphs_b / n_b + t_point(getvariable('total') - 2) * error, 1)
    END::FLOAT AS difference_high,
    ((graphs_a / n_a) / nullif(graphs_b / n_b, 0))::FLOAT AS ratio,
    test,
    p_value,
    -- Benjamini and Hochberg 1995.
    CASE WHEN p_value IS NOT NULL THEN least(min(p_value * tests / place) OVER (ORDER BY p_value DESC), 1) END AS q_value
FROM ranked
ORDER BY layer, neuron;

CREATE TEMP TABLE edge_units AS
SELECT
    row_number() OVER () AS unit,
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
    coalesce(y.graph_count, CASE WHEN y.src_layer IS NULL AND fb.is_whole THEN 0 END) AS graphs_b
FROM a.edges AS x
FULL JOIN b.edges AS y USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
CROSS JOIN a.facts AS fa
CROSS JOIN b.facts AS fb;

-- By group only where both sides have all edges by group; otherwise links and graphs are taken as independent.
SET VARIABLE by_group = (SELECT fa.has_edge_groups AND fb.has_edge_groups AND getvariable('total') > 0 FROM a.facts AS fa, b.facts AS fb);

CREATE TEMP TABLE edge_rows AS
SELECT
    unit,
    id,
    sum(k_a)::DOUBLE AS k_a,
    sum(k_b)::DOUBLE AS k_b,
    sum(c_a)::DOUBLE AS c_a,
    sum(c_b)::DOUBLE AS c_b,
    sum(s_a)::DOUBLE AS s_a,
    sum(s_b)::DOUBLE AS s_b
FROM (
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, name, graphs AS k_a, 0 AS k_b, links AS c_a, 0 AS c_b, weight_sum AS s_a, 0 AS s_b
    FROM a.edge_groups
    UNION ALL
    SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, name, 0, graphs, 0, links, 0, weight_sum
    FROM b.edge_groups
)
JOIN groups USING (name)
JOIN edge_units USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
WHERE getvariable('by_group')
GROUP BY unit, id;

-- The difference of mean weights with groups as clusters: a mean is a ratio of sums, and the residual of a group is
-- (s - mean * c) / C of each side (Liang and Zeger 1986). Fewer than five groups with links on a side say too little.
-- Groups on separate sides: Welch's test of the two sums, with Satterthwaite's degrees of freedom, cut to a whole number.
CREATE TEMP TABLE edge_means AS
WITH summed AS (
    SELECT
        unit,
        sum(c_a) AS links_a,
        sum(c_b) AS links_b,
        sum(s_a) / nullif(sum(c_a), 0) AS mean_a,
        sum(s_b) / nullif(sum(c_b), 0) AS mean_b,
        count(*) FILTER (c_a > 0) AS f_a,
        count(*) FILTER (c_b > 0) AS f_b,
        count(*) AS groups
    FROM edge_rows
    GROUP BY unit
    HAVING f_a >= 5 AND f_b >= 5
),
spread AS (
    SELECT
        unit,
        any_value(f_a) AS f_a,
        any_value(f_b) AS f_b,
        any_value(groups) AS groups,
        sum(((s_a - mean_a * c_a) / links_a) ** 2) * any_value(f_a) / (any_value(f_a) - 1) AS v_a,
        sum(((s_b - mean_b * c_b) / links_b) ** 2) * any_value(f_b) / (any_value(f_b) - 1) AS v_b,
        sum(((s_a - mean_a * c_a) / links_a - (s_b - mean_b * c_b) / links_b) ** 2)
        * any_value(groups) / (any_value(groups) - 1) AS v_shared
    FROM edge_rows
    JOIN summed USING (unit)
    GROUP BY unit
)
SELECT
    unit,
    CASE
        WHEN getvariable('shared') = 0
            THEN floor((v_a + v_b) ** 2 / nullif(v_a ** 2 / (f_a - 1) + v_b ** 2 / (f_b - 1), 0))
        ELSE groups - 2
    END AS freedom,
    sqrt(CASE WHEN getvariable('shared') = 0 THEN v_a + v_b ELSE v_shared END) AS error
FROM spread;

CREATE TABLE edges AS
WITH measured AS (
    SELECT
        u.*,
        getvariable('n_a') AS n_a,
        getvariable('n_b') AS n_b,
        f_a,
        f_b,
        t.error,
        -- Welch's test treats links as independent draws and needs at least ten links on each side.
        CASE WHEN NOT getvariable('by_group') AND least(links_a, links_b) >= 10 THEN std_a ** 2 / (links_a - 1) END AS variance_a,
        CASE WHEN NOT getvariable('by_group') AND least(links_a, links_b) >= 10 THEN std_b ** 2 / (links_b - 1) END AS variance_b,
        coalesce(m.error, sqrt(variance_a + variance_b)) AS mean_error,
        coalesce(
            m.freedom,
            (variance_a + variance_b) ** 2 / nullif(variance_a ** 2 / (links_a - 1) + variance_b ** 2 / (links_b - 1), 0)
        ) AS mean_freedom,
        coalesce(t.test, CASE WHEN NOT getvariable('by_group') AND enough(graphs_a, n_a, graphs_b, n_b) THEN 'independent' END) AS test,
        CASE
            WHEN getvariable('by_group') THEN t.p_value
            WHEN enough(graphs_a, n_a, graphs_b, n_b) THEN normal_p(independent_z(graphs_a, n_a, graphs_b, n_b))
        END AS p_value,
        -- An error at the rounding of FLOAT says that weights hardly vary, not that a difference is sure.
        CASE
            WHEN mean_error > 1e-6 * greatest(abs(mean_a), abs(mean_b))
                THEN student_p((mean_a - mean_b) / mean_error, mean_freedom)
        END AS mean_p_value
    FROM edge_units AS u
    LEFT JOIN tested('edge_rows') AS t USING (unit)
    LEFT JOIN edge_means AS m USING (unit)
),
ranked AS (
    SELECT
        *,
        count(p_value) OVER () AS tests,
        count(p_value) OVER (ORDER BY p_value) AS place,
        count(mean_p_value) OVER () AS mean_tests,
        count(mean_p_value) OVER (ORDER BY mean_p_value) AS mean_place
    FROM measured
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
    f_a::INTEGER AS groups_a,
    f_b::INTEGER AS groups_b,
    (graphs_a / n_a)::FLOAT AS frequency_a,
    (graphs_b / n_b)::FLOAT AS frequency_b,
    (graphs_a / n_a - graphs_b / n_b)::FLOAT AS difference,
    CASE
        WHEN NOT getvariable('by_group') THEN newcombe_low(graphs_a, n_a, graphs_b, n_b)
        WHEN test = 'cluster' THEN greatest(graphs_a / n_a - graphs_b / n_b - t_point(getvariable('total') - 2) * error, -1)
    END::FLOAT AS difference_low,
    CASE
        WHEN NOT getvariable('by_group') THEN newcombe_high(graphs_a, n_a, graphs_b, n_b)
        WHEN test = 'cluster' THEN least(graphs_a / n_a - graphs_b / n_b + t_point(getvariable('total') - 2) * error, 1)
    END::FLOAT AS difference_high,
    ((graphs_a / n_a) / nullif(graphs_b / n_b, 0))::FLOAT AS ratio,
    test,
    p_value,
    CASE WHEN p_value IS NOT NULL THEN least(min(p_value * tests / place) OVER (ORDER BY p_value DESC), 1) END AS q_value,
    ((links_a / n_a) / nullif(links_b / n_b, 0))::FLOAT AS link_ratio,
    mean_a::FLOAT AS mean_weight_a,
    mean_b::FLOAT AS mean_weight_b,
    (mean_a - mean_b)::FLOAT AS mean_difference,
    (mean_a - mean_b - t_point(mean_freedom) * mean_error)::FLOAT AS mean_low,
    (mean_a - mean_b + t_point(mean_freedom) * mean_error)::FLOAT AS mean_high,
    (mean_a / nullif(mean_b, 0))::FLOAT AS mean_ratio,
    mean_p_value,
    CASE
        WHEN mean_p_value IS NOT NULL THEN least(min(mean_p_value * mean_tests / mean_place) OVER (ORDER BY mean_p_value DESC), 1)
    END AS mean_q_value
FROM ranked
ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron;

-- Labels, layers and circuits of which more neurons differ than of the neurons that were tested.
CREATE TABLE enrichment AS
WITH kinds AS (
    SELECT 'layer' AS kind, layer::VARCHAR AS name, q_value < 0.05 AS differs FROM neurons WHERE p_value IS NOT NULL
    UNION ALL
    SELECT 'circuit', top_cluster::VARCHAR, q_value < 0.05 FROM neurons WHERE p_value IS NOT NULL AND top_cluster IS NOT NULL
    UNION ALL
    SELECT 'label', label, q_value < 0.05 FROM neurons WHERE p_value IS NOT NULL AND label IS NOT NULL
),
sizes AS (
    SELECT count(*) AS tested_total, count(*) FILTER (q_value < 0.05) AS different_total FROM neurons WHERE p_value IS NOT NULL
),
counted AS (
    SELECT
        kind,
        name,
        count(*) AS neuron_count,
        count(*) FILTER (differs) AS different_count,
        any_value(different_total) / any_value(tested_total) * neuron_count AS expected_count,
        CASE
            WHEN different_count = 0 THEN 1
            ELSE enriched_p(different_count, neuron_count, any_value(different_total), any_value(tested_total))
        END AS p_value
    FROM kinds, sizes
    GROUP BY kind, name
    HAVING neuron_count >= 3
),
ranked AS (
    SELECT *, count(*) OVER () AS tests, count(*) OVER (ORDER BY p_value) AS place FROM counted
)
SELECT
    kind,
    name,
    neuron_count::INTEGER AS neuron_count,
    different_count::INTEGER AS different_count,
    expected_count::FLOAT AS expected_count,
    p_value,
    least(min(p_value * tests / place) OVER (ORDER BY p_value DESC), 1) AS q_value
FROM ranked
ORDER BY p_value, kind, name;

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

COMMENT ON TABLE groups IS 'Groups of prompts with their graphs in each corpus: the unit of replication. Empty where a side does not know its graphs.';
COMMENT ON TABLE enrichment IS 'Layers, circuits and labels of which more neurons differ than of all tested neurons, surest first; with at least three tested neurons.';
COMMENT ON COLUMN groups.id IS 'Number of the group in this file.';
COMMENT ON COLUMN groups.name IS 'prompt_group of the atlases.';
COMMENT ON COLUMN groups.graphs_a IS 'Graphs of the group in A.';
COMMENT ON COLUMN groups.graphs_b IS 'Graphs of the group in B.';
COMMENT ON COLUMN enrichment.kind IS 'layer, circuit or label.';
COMMENT ON COLUMN enrichment.name IS 'Which one.';
COMMENT ON COLUMN enrichment.neuron_count IS 'Tested neurons of it.';
COMMENT ON COLUMN enrichment.different_count IS 'Those that differ at a false discovery rate of 5 %.';
COMMENT ON COLUMN enrichment.expected_count IS 'Those that would by the share of all tested neurons.';
COMMENT ON COLUMN enrichment.p_value IS 'Probability of at least so many (hypergeometric), as if neurons were independent.';
COMMENT ON COLUMN enrichment.q_value IS 'False discovery rate (Benjamini and Hochberg).';
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
COMMENT ON COLUMN neurons.difference_low IS 'Lower bound of its 95 % confidence interval: groups as clusters, Student t with groups - 2 degrees of freedom; where graphs are taken as independent, Newcombe 1998, method 10. NULL for exact tests.';
COMMENT ON COLUMN neurons.difference_high IS 'Upper bound.';
COMMENT ON COLUMN neurons.top_cluster IS 'Circuit in A, or else in B.';
COMMENT ON COLUMN neurons.groups_a IS 'Groups of prompts of A that contain it.';
COMMENT ON COLUMN neurons.groups_b IS 'The same of B.';
COMMENT ON COLUMN neurons.test IS 'cluster (variance with groups of prompts as clusters), exact (Fisher, rare in groups), permutation (of at most 12 groups), independent (graphs taken as independent: groups unknown), or NULL.';
COMMENT ON COLUMN neurons.ratio IS 'frequency_a / frequency_b; NULL where B does not have it.';
COMMENT ON COLUMN neurons.p_value IS 'p-value of the difference of frequencies by the test named in the column test; NULL if there is too little to test.';
COMMENT ON COLUMN neurons.q_value IS 'False discovery rate at which it differs (Benjamini and Hochberg 1995), over all neurons that have a p_value.';
COMMENT ON COLUMN edges.links_a IS 'Number of links in A; NULL if A lists only the strongest partners and this edge is not among them.';
COMMENT ON COLUMN edges.links_b IS 'The same of B.';
COMMENT ON COLUMN edges.graphs_a IS 'Graphs of A in which the two are linked; NULL where A does not count them.';
COMMENT ON COLUMN edges.graphs_b IS 'The same of B.';
COMMENT ON COLUMN edges.groups_a IS 'Groups of prompts of A in which the two are linked.';
COMMENT ON COLUMN edges.groups_b IS 'The same of B.';
COMMENT ON COLUMN edges.test IS 'As in neurons.';
COMMENT ON COLUMN edges.link_ratio IS 'Links per graph in A over links per graph in B.';
COMMENT ON COLUMN edges.mean_weight_a IS 'Mean weight of the links of A.';
COMMENT ON COLUMN edges.mean_weight_b IS 'The same of B.';
COMMENT ON COLUMN edges.mean_difference IS 'mean_weight_a - mean_weight_b.';
COMMENT ON COLUMN edges.mean_low IS 'Lower bound of its 95 % confidence interval: groups as clusters; NULL for fewer than five groups with links on a side. Where groups are unknown: Welch, with ten links on each side.';
COMMENT ON COLUMN edges.mean_high IS 'Upper bound.';
COMMENT ON COLUMN edges.mean_ratio IS 'mean_weight_a / mean_weight_b.';
COMMENT ON COLUMN edges.mean_p_value IS 'p-value of the difference of means with groups as clusters; NULL for fewer than five groups with links on a side. Where groups are unknown: Welch, as if links were independent, which is too small.';
COMMENT ON COLUMN edges.mean_q_value IS 'False discovery rate (Benjamini and Hochberg) over all edges with a mean_p_value.';
COMMENT ON COLUMN edges.q_value IS 'False discovery rate at which the frequency differs, over all edges that have a p_value.';
