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
topped AS (
    SELECT buckets, greatest(10, least(count(first_mean), count(second_mean)) // 100) AS top_count
    FROM halves
    GROUP BY buckets
)
SELECT
    any_value(graphs)::INTEGER AS graph_count,
    count(*) AS edge_count,
    count(*) FILTER (in_both) AS both_count,
    corr(first_rank, second_rank) FILTER (in_both) AS rank_correlation,
    any_value(top_count) AS top_count,
    count(*) FILTER (first_place <= top_count AND second_place <= top_count AND in_both) / any_value(top_count) AS top_overlap
FROM ranked
JOIN sized USING (buckets)
JOIN topped USING (buckets)
GROUP BY buckets
ORDER BY buckets;
COMMENT ON COLUMN reliability.graph_count IS 'Graphs in each of the two sets, on average.';
COMMENT ON COLUMN reliability.edge_count IS 'Sampled edges seen in either set.';
COMMENT ON COLUMN reliability.both_count IS 'Sampled edges seen in both sets; the correlation is over these.';
COMMENT ON COLUMN reliability.rank_correlation IS 'Spearman correlation of mean_weight between the two sets; NULL where there are too few edges.';
COMMENT ON COLUMN reliability.top_count IS 'How many strongest edges of each set are compared: 1 in 100, at least 10.';
COMMENT ON COLUMN reliability.top_overlap IS 'Share of them, by absolute mean weight, that are among the strongest of both sets.';
