-- One row of names that exist in this atlas. They fill in the examples of `help`, which then return rows.
WITH hub AS (
    FROM neurons ORDER BY least(in_degree, out_degree) DESC, layer, neuron LIMIT 1
),
goal AS (
    SELECT b.tgt_layer AS layer, b.tgt_neuron AS neuron
    FROM hub
    JOIN edges AS a ON a.src_layer = hub.layer AND a.src_neuron = hub.neuron
    JOIN edges AS b ON b.src_layer = a.tgt_layer AND b.src_neuron = a.tgt_neuron
    GROUP BY ALL
    ORDER BY count(*) DESC, layer, neuron
    LIMIT 1
)
SELECT
    coalesce((SELECT layer FROM hub), 0) AS layer,
    coalesce((SELECT neuron FROM hub), 0) AS neuron,
    coalesce((SELECT 'L' || layer || '/N' || neuron FROM hub), 'L0/N0') AS neuron_id,
    coalesce((SELECT 'L' || layer || '/N' || neuron FROM goal), 'L0/N0') AS to_id,
    coalesce((SELECT layer FROM goal), 0) AS to_layer,
    coalesce((SELECT neuron FROM goal), 0) AS to_neuron,
    coalesce((SELECT layer FROM features ORDER BY layer, unit LIMIT 1), 0) AS feature_layer,
    coalesce((SELECT unit FROM features ORDER BY layer, unit LIMIT 1), 0) AS feature,
    coalesce((SELECT cluster_path FROM clusters ORDER BY abs(size - 12), cluster_path LIMIT 1), '1') AS cluster_path,
    coalesce((SELECT label FROM neurons WHERE label IS NOT NULL ORDER BY appearance_count DESC, layer, neuron LIMIT 1), 'text')
        AS words,
    coalesce((SELECT token FROM tokens WHERE token IS NOT NULL ORDER BY input_graph_count DESC, token_id LIMIT 1), 'the')
        AS input_token,
    coalesce((SELECT token FROM tokens WHERE token IS NOT NULL ORDER BY output_graph_count DESC, token_id LIMIT 1), 'the')
        AS output_token,
    coalesce(
        (
            SELECT token FROM activation_tokens
            WHERE relation IN ('same', 'in') AND token IS NOT NULL
            GROUP BY token
            ORDER BY count(*) DESC, token
            LIMIT 1
        ),
        'the'
    ) AS fired_token
