-- Agreement of edge weights between two sets of graphs, by number of graphs. Shows whether there are enough graphs.
-- The sets are disjoint, with a sixteenth to a half of the groups of prompts each. Edges come from edge_samples.
-- Example: FROM reliability;
CREATE VIEW reliability AS
WITH RECURSIVE level AS (
    SELECT 1 AS buckets
    UNION ALL
    SELECT buckets * 2 FROM level WHERE buckets < 8
),
graph AS (
    SELECT split_bucket AS bucket FROM graphs
),
sized AS (
    SELECT buckets, count(*) // 2 AS graphs
    FROM level
    JOIN graph ON graph.bucket < 2 * buckets
    GROUP BY buckets
),
halves AS (
    SELECT
        buckets,
        src_layer,
        src_neuron,
        tgt_layer,
        tgt_neuron,
        coalesce(sum(mean_weight * count) FILTER (bucket % 2 = 0), 0) AS first_sum,
        coalesce(sum(mean_weight * count) FILTER (bucket % 2 = 1), 0) AS second_sum,
        sum(mean_weight * count) FILTER (bucket % 2 = 0) / sum(count) FILTER (bucket % 2 = 0) AS first_mean,
        sum(mean_weight * count) FILTER (bucket % 2 = 1) / sum(count) FILTER (bucket % 2 = 1) AS second_mean
    FROM level
    JOIN edge_samples ON edge_samples.bucket < 2 * buckets
    GROUP BY ALL
),
ranked AS (
    SELECT
        *,
        first_mean IS NOT NULL AND second_mean IS NOT NULL AS in_both,
        -- Ties share their average rank (Spearman).
        rank() OVER first_order + (count(*) OVER (PARTITION BY buckets, in_both, first_mean) - 1) / 2 AS first_rank,
        rank() OVER second_order + (count(*) OVER (PARTITION BY buckets, in_both, second_mean) - 1) / 2 AS second_rank,
        row_number() OVER (PARTITION BY buckets ORDER BY abs(first_mean) DESC NULLS LAST, src_layer, src_neuron, tgt_layer, tgt_neuron) AS first_place,
        row_number() OVER (PARTITION BY buckets ORDER BY abs(second_mean) DESC NULLS LAST, src_layer, src_neuron, tgt_layer, tgt_neuron) AS second_place
    FROM halves
    WINDOW
        first_order AS (PARTITION BY buckets, in_both ORDER BY first_mean),
        second_order AS (PARTITION BY buckets, in_both ORDER BY second_mean)
),
-- The same edges at every level: those that both halves of all groups have. An edge that a smaller set lacks counts as 0.
fixed AS (
    SELECT buckets, coalesce(first_sum, 0) AS first_sum, coalesce(second_sum, 0) AS second_sum
    FROM (FROM halves WHERE buckets = 8 AND first_mean IS NOT NULL AND second_mean IS NOT NULL) AS chosen
        (_, src_layer, src_neuron, tgt_layer, tgt_neuron, whole_first, whole_second, mean_first, mean_second)
    CROSS JOIN level
    LEFT JOIN halves USING (buckets, src_layer, src_neuron, tgt_layer, tgt_neuron)
),
placed AS (
    SELECT
        buckets,
        rank() OVER (PARTITION BY buckets ORDER BY first_sum)
        + (count(*) OVER (PARTITION BY buckets, first_sum) - 1) / 2 AS first_rank,
        rank() OVER (PARTITION BY buckets ORDER BY second_sum)
        + (count(*) OVER (PARTITION BY buckets, second_sum) - 1) / 2 AS second_rank
    FROM fixed
),
settled AS (
    SELECT buckets, count(*) AS fixed_count, corr(first_rank, second_rank) AS fixed_rank_correlation
    FROM placed
    GROUP BY buckets
),
topped AS (
    SELECT buckets, greatest(10, least(count(first_mean), count(second_mean)) // 100) AS top_count
    FROM halves
    GROUP BY buckets
)
SELECT
    any_value(graphs)::INTEGER AS graph_count,
    count(*) AS edge_count,
    count(*) FILTER (in_both) AS both_count,
    (count(*) FILTER (in_both) / count(*))::FLOAT AS both_share,
    corr(first_rank, second_rank) FILTER (in_both) AS rank_correlation,
    any_value(fixed_count) AS fixed_count,
    any_value(fixed_rank_correlation) AS fixed_rank_correlation,
    any_value(top_count) AS top_count,
    count(*) FILTER (first_place <= top_count AND second_place <= top_count AND in_both) / any_value(top_count) AS top_overlap
FROM ranked
JOIN sized USING (buckets)
JOIN topped USING (buckets)
LEFT JOIN settled USING (buckets)
GROUP BY buckets
ORDER BY buckets;
COMMENT ON COLUMN reliability.graph_count IS 'Graphs in each of the two sets, on average.';
COMMENT ON COLUMN reliability.edge_count IS 'Sampled edges seen in either set.';
COMMENT ON COLUMN reliability.both_count IS 'Sampled edges seen in both sets; the correlation is over these.';
COMMENT ON COLUMN reliability.both_share IS 'both_count / edge_count: the share of the edges that rank_correlation speaks about.';
COMMENT ON COLUMN reliability.fixed_count IS 'Edges that both halves of all groups have: one fixed set for all rows.';
COMMENT ON COLUMN reliability.fixed_rank_correlation IS 'Spearman correlation of the weight sums of the fixed set between the two sets; an edge that a set lacks counts as 0.';
COMMENT ON COLUMN reliability.rank_correlation IS 'Spearman correlation of mean_weight between the two sets; NULL where there are too few edges.';
COMMENT ON COLUMN reliability.top_count IS 'How many strongest edges of each set are compared: 1 in 100, at least 10.';
COMMENT ON COLUMN reliability.top_overlap IS 'Share of them, by absolute mean weight, that are among the strongest of both sets.';
