-- Agreement of mean edge weights between the two halves of the groups of prompts, by the number of graphs of an edge.
-- Example: FROM edge_reliability;
CREATE VIEW edge_reliability AS
WITH halves AS (
    SELECT
        (2 ** floor(log2(graph_count)))::INTEGER AS min_graphs,
        half_mean_weight AS first_mean,
        (mean_weight::DOUBLE * count - half_mean_weight::DOUBLE * half_count) / (count - half_count) AS second_mean
    FROM edges
    WHERE half_count > 0 AND half_count < count AND graph_count > 1
),
ranked AS (
    SELECT
        *,
        -- Ties share their average rank (Spearman).
        rank() OVER first_order + (count(*) OVER (PARTITION BY min_graphs, first_mean) - 1) / 2 AS first_rank,
        rank() OVER second_order + (count(*) OVER (PARTITION BY min_graphs, second_mean) - 1) / 2 AS second_rank
    FROM halves
    WINDOW
        first_order AS (PARTITION BY min_graphs ORDER BY first_mean),
        second_order AS (PARTITION BY min_graphs ORDER BY second_mean)
)
SELECT
    min_graphs,
    min_graphs * 2 - 1 AS max_graphs,
    count(*) AS edge_count,
    corr(first_rank, second_rank) AS rank_correlation,
    avg(((first_mean > 0) = (second_mean > 0))::INTEGER) AS same_sign_share
FROM ranked
GROUP BY min_graphs
ORDER BY min_graphs;
COMMENT ON COLUMN edge_reliability.min_graphs IS 'The edges are in at least this many graphs ...';
COMMENT ON COLUMN edge_reliability.max_graphs IS '... and in at most this many.';
COMMENT ON COLUMN edge_reliability.edge_count IS 'Edges with links in both halves.';
COMMENT ON COLUMN edge_reliability.rank_correlation IS 'Spearman correlation of mean_weight between the two halves of the groups.';
COMMENT ON COLUMN edge_reliability.same_sign_share IS 'Share of the edges whose mean weight has the same sign in both halves.';
