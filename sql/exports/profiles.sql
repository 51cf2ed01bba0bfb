-- One row per neuron of the set `chosen`, with lists of its strongest partners, as statistics files of the earlier tool hold them.
-- $top: partners of each list at most.
WITH partners AS (
    SELECT 'up' AS list, e.tgt_layer AS layer, e.tgt_neuron AS neuron, 'L' || e.src_layer || '/N' || e.src_neuron AS name, e.count, e.mean_weight
    FROM edges_by_target AS e
    JOIN chosen AS c ON c.layer = e.tgt_layer AND c.neuron = e.tgt_neuron
    UNION ALL
    SELECT 'down', e.src_layer, e.src_neuron, 'L' || e.tgt_layer || '/N' || e.tgt_neuron, e.count, e.mean_weight
    FROM edges AS e
    JOIN chosen AS c ON c.layer = e.src_layer AND c.neuron = e.src_neuron
    UNION ALL
    SELECT 'up', e.layer, e.neuron, 'EMB/' || e.token_id, e.count, e.mean_weight
    FROM token_edges AS e
    JOIN chosen USING (layer, neuron)
    UNION ALL
    SELECT 'down', e.layer, e.neuron, 'LOGIT/' || e.token_id, e.count, e.mean_weight
    FROM logit_edges AS e
    JOIN chosen USING (layer, neuron)
),
listed AS (
    SELECT
        layer,
        neuron,
        list({name: name, count: count, avg_weight: mean_weight} ORDER BY count DESC, name) FILTER (list = 'up') AS upstream,
        list({name: name, count: count, avg_weight: mean_weight} ORDER BY count DESC, name) FILTER (list = 'down') AS downstream
    FROM (
        SELECT *
        FROM partners
        QUALIFY row_number() OVER (PARTITION BY list, layer, neuron ORDER BY count DESC, name) <= $top
    )
    GROUP BY layer, neuron
),
outputs AS (
    SELECT layer, neuron, list({token: token, count: count} ORDER BY count DESC, token) AS outputs
    FROM (
        SELECT e.layer, e.neuron, coalesce(t.token, e.token_id::VARCHAR) AS token, e.count
        FROM logit_edges AS e
        JOIN chosen USING (layer, neuron)
        LEFT JOIN tokens AS t USING (token_id)
        QUALIFY row_number() OVER (PARTITION BY e.layer, e.neuron ORDER BY e.count DESC, e.token_id) <= $top
    )
    GROUP BY layer, neuron
),
together AS (
    SELECT
        o.layer,
        o.neuron,
        list({neuron_id: 'L' || o.other_layer || '/N' || o.other_neuron, count: o.joint_graph_count} ORDER BY o.rank) AS cooccurring
    FROM cooccurrence AS o
    JOIN chosen USING (layer, neuron)
    WHERE o.rank <= $top
    GROUP BY o.layer, o.neuron
)
SELECT
    n.layer,
    n.neuron,
    n.neuron_id,
    n.graph_count,
    n.label,
    coalesce(l.upstream, []) AS upstream,
    coalesce(l.downstream, []) AS downstream,
    coalesce(o.outputs, []) AS outputs,
    coalesce(t.cooccurring, []) AS cooccurring
FROM chosen
JOIN neurons AS n USING (layer, neuron)
LEFT JOIN listed AS l USING (layer, neuron)
LEFT JOIN outputs AS o USING (layer, neuron)
LEFT JOIN together AS t USING (layer, neuron)
ORDER BY n.graph_count DESC NULLS LAST, n.layer, n.neuron
