-- The strongest inputs and outputs of every neuron of a set, as many of each: its edge profile.
--
-- $chosen NEURONS required: the set, as an expression or ids
-- $top INTEGER from 1 to 10000: edges of each direction; 10 where left out
-- $min_graphs INTEGER: only edges in at least this many graphs (or links, if graphs were not counted)
-- $limit BIGINT: at most this many rows
WITH both_sides AS (
    SELECT
        'input' AS direction,
        e.tgt_layer AS layer,
        e.tgt_neuron AS neuron,
        e.src_layer AS other_layer,
        e.src_neuron AS other_neuron,
        e.* EXCLUDE (src_layer, src_neuron, tgt_layer, tgt_neuron)
    FROM edges_by_target AS e
    JOIN chosen AS c ON c.layer = e.tgt_layer AND c.neuron = e.tgt_neuron
    UNION ALL BY NAME
    SELECT
        'output' AS direction,
        e.src_layer AS layer,
        e.src_neuron AS neuron,
        e.tgt_layer AS other_layer,
        e.tgt_neuron AS other_neuron,
        e.* EXCLUDE (src_layer, src_neuron, tgt_layer, tgt_neuron)
    FROM edges AS e
    JOIN chosen AS c ON c.layer = e.src_layer AND c.neuron = e.src_neuron
),
ranked AS MATERIALIZED (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY layer, neuron, direction
            ORDER BY coalesce(mean_abs_weight, abs(mean_weight)) DESC, other_layer, other_neuron
        ) AS rank
    FROM both_sides
    WHERE $min_graphs IS NULL OR coalesce(graph_count, count) >= $min_graphs
    QUALIFY rank <= coalesce($top, 10)
)
SELECT
    n.neuron_id,
    r.direction,
    r.rank,
    o.neuron_id AS other_id,
    o.label AS other_label,
    r.count,
    r.graph_count,
    r.mean_weight,
    r.mean_abs_weight,
    r.weight_abs_sum / nullif(CASE r.direction WHEN 'input' THEN n.input_abs_sum ELSE o.input_abs_sum END, 0) AS target_share
FROM ranked AS r
JOIN neurons AS n USING (layer, neuron)
JOIN neurons AS o ON o.layer = r.other_layer AND o.neuron = r.other_neuron
ORDER BY r.layer, r.neuron, r.direction, r.rank
LIMIT $limit
