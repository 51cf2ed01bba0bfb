-- Circuits of the primary clustering with sample labels, largest first; filter by level, size or parent circuit.
--
-- $path VARCHAR: only this circuit, by its cluster_path
-- $level INTEGER: only this level; 1 is the top
-- $parent VARCHAR: only circuits directly inside this one
-- $min_size INTEGER: only circuits of at least this many neurons
-- $max_size INTEGER: only circuits of at most this many neurons
-- $limit BIGINT: at most this many rows
SELECT
    cluster_path,
    level,
    size,
    layer_min,
    layer_max,
    median_layer,
    flow,
    labelled_count,
    sample_labels
FROM circuits
WHERE ($path IS NULL OR cluster_path = $path)
    AND ($level IS NULL OR level = $level)
    AND ($parent IS NULL OR parent_path = $parent)
    AND ($min_size IS NULL OR size >= $min_size)
    AND ($max_size IS NULL OR size <= $max_size)
ORDER BY size DESC, level, cluster_path
LIMIT $limit
