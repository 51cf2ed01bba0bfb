-- Features of dictionaries, with their first token, the neuron of a circuit that is active on the same tokens most, and density.
--
-- $min_contexts INTEGER: only features that are active in at least this many contexts
-- $max_density DOUBLE: only features that are active on at most this share of the tokens
-- $limit BIGINT: at most this many rows
WITH partners AS (
    SELECT
        c.layer,
        c.unit,
        arg_max({neuron: n.neuron_id, cluster_path: n.cluster_path, jaccard: c.jaccard}, (c.jaccard, -c.rank)) AS best
    FROM coactivation AS c
    JOIN neurons AS n ON n.layer = c.other_layer AND n.neuron = c.other_unit AND n.unit_type = 'neuron'
    WHERE c.unit_type = 'feature' AND c.other_unit_type = 'neuron' AND n.cluster_path IS NOT NULL
    GROUP BY c.layer, c.unit
)
SELECT
    'L' || s.layer || '/F' || s.unit AS unit_id,
    s.layer,
    s.unit,
    s.density,
    s.active_context_count,
    s.max_active,
    t.token,
    t.mass_share,
    s.is_single_token,
    p.best.neuron AS neuron,
    p.best.jaccard AS jaccard,
    p.best.cluster_path AS cluster_path
FROM activation_stats AS s
LEFT JOIN activation_tokens AS t
    ON (t.unit_type, t.layer, t.unit, t.relation, t.rank) = (s.unit_type, s.layer, s.unit, 'same', 1)
LEFT JOIN partners AS p ON p.layer = s.layer AND p.unit = s.unit
WHERE
    s.unit_type = 'feature'
    AND ($min_contexts IS NULL OR s.active_context_count >= $min_contexts)
    AND ($max_density IS NULL OR s.density <= $max_density)
ORDER BY jaccard DESC NULLS LAST, s.layer, s.unit
LIMIT $limit
