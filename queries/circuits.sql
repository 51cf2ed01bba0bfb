-- Circuits (top clusters) by size, with sample labels.
--
-- $min_size INTEGER: only circuits of at least this many neurons
-- $limit BIGINT: at most this many rows
SELECT
    top_cluster,
    size,
    layer_min,
    layer_max,
    median_layer,
    flow,
    labelled_count,
    sample_labels
FROM circuits
WHERE size >= coalesce($min_size, 1)
ORDER BY size DESC, top_cluster
LIMIT $limit
