-- Circuits with their trust and sample labels, largest first: clusters of one clustering, and circuits of tokens, contrasts and sets of neurons.
--
-- $path VARCHAR: only this circuit, by its circuit_id
-- $kind VARCHAR of cluster, input, output, contrast, set: only circuits of this kind
-- $clustering VARCHAR: only clusters of this clustering; of the primary one, and anchored circuits, where left out
-- $min_agreement DOUBLE: only circuits that are found again in another half of the groups with at least this Jaccard index
-- $found_again BOOLEAN: only circuits that count as found again, or only others
-- $level INTEGER: only this level; 1 is the top
-- $parent VARCHAR: only circuits directly inside this one
-- $min_size INTEGER: only circuits of at least this many neurons
-- $max_size INTEGER: only circuits of at most this many neurons
-- $limit BIGINT: at most this many rows
SELECT
    circuit_id,
    kind,
    coalesce(anchor, terms) AS name,
    anchor,
    cluster_path,
    level,
    size,
    layer_min,
    layer_max,
    median_layer,
    flow,
    graph_count,
    group_count,
    is_found_again,
    support,
    half_agreement,
    control_agreement,
    null_p,
    null_fdr,
    effect,
    control_effect_max,
    conductance,
    sign_coherence,
    labelled_count,
    sample_labels
FROM circuits
WHERE ($path IS NULL OR circuit_id = $path OR (kind = 'cluster' AND clustering || '/' || cluster_path = $path))
    AND ($kind IS NULL OR kind = $kind)
    AND (CASE WHEN $clustering IS NULL THEN is_primary OR $path IS NOT NULL ELSE clustering = $clustering END)
    AND ($min_agreement IS NULL OR half_agreement >= $min_agreement)
    AND ($found_again IS NULL OR coalesce(is_found_again, false) = $found_again)
    AND ($level IS NULL OR level = $level)
    AND ($parent IS NULL OR parent_path = $parent)
    AND ($min_size IS NULL OR size >= $min_size)
    AND ($max_size IS NULL OR size <= $max_size)
ORDER BY size DESC, level, circuit_id
LIMIT $limit
