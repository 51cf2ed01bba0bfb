-- Fill the tables from the Parquet datasets of the stages, which are views in the catalog `input`.
-- Means and deviations are computed here, once, from the exact float64 sums of the stats.

CREATE MACRO input.measured(dataset) AS TABLE
SELECT
    * EXCLUDE (weight_sum, weight_abs_sum, weight_sq_sum),
    weight_sum / count AS mean_weight,
    weight_abs_sum / count AS mean_abs_weight,
    deviation_of(count, weight_sum, weight_sq_sum) AS std_weight
FROM query_table('input.' || dataset);

-- Sorting dominates memory and time. Edges are sorted with narrow types, and their texts are encoded as numbers.
SET VARIABLE methods = (SELECT coalesce(list(DISTINCT method::VARCHAR ORDER BY method::VARCHAR), []) FROM input.edges);
SET VARIABLE stat_quality = (SELECT stat_quality FROM input.parameters);
-- Use variables, not joins: with joins, DuckDB underestimates the edges and builds a hash table of all of them.
SET VARIABLE min_count = (SELECT min_count FROM input.parameters);
SET VARIABLE graphs = (SELECT count(*)::DOUBLE FROM input.graphs);

-- Columns that edges take from their source and target neurons.
CREATE TABLE input.ends AS
SELECT
    layer,
    neuron,
    graph_count::DOUBLE AS graph_count,
    top_cluster
FROM input.neurons
LEFT JOIN (
    SELECT layer, neuron, top_cluster
    FROM input.members
    WHERE clustering = (SELECT clustering FROM input.clusterings WHERE is_primary)
) USING (layer, neuron);

-- Lift and npmi are computed here because they need the graphs of both ends.
CREATE MACRO input.narrow_edges() AS TABLE
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    list_position(getvariable('methods'), method::VARCHAR)::UTINYINT AS method_number,
    count::INTEGER AS count,
    e.graph_count::INTEGER AS graph_count,
    e.group_count::INTEGER AS group_count,
    positive_count::INTEGER AS positive_count,
    (weight_sum / count)::FLOAT AS mean_weight,
    ((weight_abs_sum - abs(weight_sum)) / count)::FLOAT AS sign_cancellation,
    deviation_of(count, weight_sum, weight_sq_sum)::FLOAT AS std_weight,
    weight_min::FLOAT AS weight_min,
    weight_max::FLOAT AS weight_max,
    half_count::INTEGER AS half_count,
    (half_weight_sum / nullif(half_count, 0))::FLOAT AS half_mean_weight,
    joint_graph_count::INTEGER AS joint_graph_count,
    coalesce(s.top_cluster = t.top_cluster, false) AS in_circuit,
    lift_of(joint_graph_count, s.graph_count, t.graph_count, getvariable('graphs')) AS exact_lift,
    exact_lift::FLOAT AS lift,
    npmi_of(joint_graph_count, exact_lift, getvariable('graphs'))::FLOAT AS npmi
FROM input.edges AS e
LEFT JOIN input.ends AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
LEFT JOIN input.ends AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
WHERE e.count >= getvariable('min_count');

INSERT INTO edges BY NAME
SELECT
    * EXCLUDE (method_number, exact_lift),
    getvariable('methods')[method_number] AS method,
    getvariable('stat_quality') AS stat_quality
FROM (FROM input.narrow_edges() ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron, method_number);

INSERT INTO edges_by_target BY NAME
SELECT
    * EXCLUDE (method_number, exact_lift),
    getvariable('methods')[method_number] AS method,
    getvariable('stat_quality') AS stat_quality
FROM (FROM input.narrow_edges() ORDER BY tgt_layer, tgt_neuron, src_layer, src_neuron, method_number);

INSERT INTO connections BY NAME
FROM input.connections
ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron;

INSERT INTO cooccurrence BY NAME
FROM input.cooccurrence
ORDER BY layer, neuron, rank;

-- Every kept link with the activations and positions of its ends. Weights that are no direct effects are no shares.
CREATE VIEW input.links_with_ends AS
SELECT
    s.layer AS src_layer,
    s.neuron AS src_neuron,
    t.layer AS tgt_layer,
    t.neuron AS tgt_neuron,
    l.graph_id,
    g.group_id,
    l.weight,
    CASE WHEN t.activation <> 0 AND (SELECT weights_are_effects FROM input.parameters) THEN l.weight::DOUBLE / t.activation END AS share,
    CASE WHEN s.activation <> 0 AND (SELECT baseline_is_zero FROM input.parameters) THEN l.weight::DOUBLE / s.activation END AS derivative,
    s.position = t.position AS is_same_position
FROM input.graph_links AS l
JOIN input.graph_nodes AS s ON s.graph_id = l.graph_id AND s.node = l.source AND s.kind = 'neuron'
JOIN input.graph_nodes AS t ON t.graph_id = l.graph_id AND t.node = l.target AND t.kind = 'neuron'
JOIN input.graphs AS g ON g.graph_id = l.graph_id;

-- Groups of prompts with a graph that contains both ends of an edge. Beyond a bound of pairs it is left out.
CREATE TABLE input.joint_groups AS
WITH members AS (
    SELECT layer, neuron, graph_id, group_id
    FROM input.neuron_graphs
    JOIN input.graphs USING (graph_id)
    WHERE group_id IS NOT NULL
)
SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count(DISTINCT s.group_id) AS joint_group_count
FROM (SELECT DISTINCT src_layer, src_neuron, tgt_layer, tgt_neuron FROM edges) AS e
JOIN members AS s ON s.layer = src_layer AND s.neuron = src_neuron
JOIN members AS t ON t.layer = tgt_layer AND t.neuron = tgt_neuron AND t.graph_id = s.graph_id
WHERE (SELECT coalesce(sum(joint_graph_count), 0) <= 200_000_000 FROM edges)
    AND (SELECT EXISTS (FROM input.graph_links))
GROUP BY ALL;

SET VARIABLE groups = (SELECT count(DISTINCT group_id)::DOUBLE FROM input.graphs);
SET VARIABLE strong_share = (SELECT strong_share FROM input.parameters);

INSERT INTO edge_strengths BY NAME
WITH measured AS (
    SELECT
        src_layer,
        src_neuron,
        tgt_layer,
        tgt_neuron,
        count(share) AS share_count,
        avg(share) AS mean_share,
        count(*) FILTER (abs(share) >= getvariable('strong_share')) AS strong_links,
        count(DISTINCT graph_id) FILTER (abs(share) >= getvariable('strong_share')) AS strong_graphs,
        count(DISTINCT group_id) FILTER (abs(share) >= getvariable('strong_share')) AS strong_groups,
        count(derivative) AS derivative_count,
        avg(derivative) AS mean_derivative,
        stddev_pop(derivative) AS std_derivative,
        count(*) FILTER (derivative > 0) AS positive,
        count(is_same_position) AS position_count,
        count(*) FILTER (is_same_position) AS same_position_count
    FROM input.links_with_ends
    GROUP BY src_layer, src_neuron, tgt_layer, tgt_neuron
)
SELECT
    m.* EXCLUDE (strong_links, strong_graphs, strong_groups, positive),
    CASE WHEN share_count > 0 THEN strong_links END AS strong_count,
    CASE WHEN share_count > 0 THEN strong_graphs END AS strong_graph_count,
    CASE WHEN share_count > 0 THEN strong_groups END AS strong_group_count,
    greatest(positive, derivative_count - positive) / nullif(derivative_count, 0) AS same_sign_share,
    j.joint_group_count,
    (j.joint_group_count + 1) / (a.group_count * b.group_count / getvariable('groups') + 1) AS shrunk_lift,
    CASE
        WHEN least(a.group_count, b.group_count) <= 200
            THEN enriched_p(j.joint_group_count, a.group_count, b.group_count, getvariable('groups'))
        ELSE association_p_of(j.joint_group_count, a.group_count, b.group_count, getvariable('groups'))
    END AS association_p
FROM measured AS m
SEMI JOIN edges USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
LEFT JOIN input.joint_groups AS j USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
LEFT JOIN input.neurons AS a ON a.layer = m.src_layer AND a.neuron = m.src_neuron
LEFT JOIN input.neurons AS b ON b.layer = m.tgt_layer AND b.neuron = m.tgt_neuron
ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron;

-- Edges by group are as many as links where every prompt is a group; beyond a bound they stay beside the atlas.
INSERT INTO edge_groups BY NAME
SELECT
    g.src_layer,
    g.src_neuron,
    g.tgt_layer,
    g.tgt_neuron,
    g.group_id,
    g.count,
    g.graph_count,
    g.positive_count,
    g.weight_sum / g.count AS mean_weight,
    g.weight_abs_sum / g.count AS mean_abs_weight,
    deviation_of(g.count, g.weight_sum, g.weight_sq_sum) AS std_weight
FROM input.edge_groups AS g
SEMI JOIN edges AS e USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
WHERE (SELECT embed_edge_groups FROM input.parameters)
ORDER BY g.src_layer, g.src_neuron, g.tgt_layer, g.tgt_neuron, g.group_id;

INSERT INTO edge_samples BY NAME
SELECT
    * EXCLUDE (weight_sum),
    weight_sum / count AS mean_weight
FROM input.edge_samples
ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron, bucket;

INSERT INTO token_edges BY NAME
SELECT *, getvariable('stat_quality') AS stat_quality
FROM input.measured('token_edges')
ORDER BY layer, neuron, token_id;

INSERT INTO logit_edges BY NAME
SELECT *, getvariable('stat_quality') AS stat_quality
FROM input.measured('logit_edges')
ORDER BY layer, neuron, token_id;

INSERT INTO token_logit_edges BY NAME
FROM input.measured('token_logit_edges')
ORDER BY src_token_id, tgt_token_id;

INSERT INTO error_mass BY NAME
FROM input.measured('error_mass')
ORDER BY layer, neuron;

INSERT INTO logit_error_mass BY NAME
FROM input.measured('logit_error_mass')
ORDER BY token_id;

INSERT INTO graphs
SELECT
    graph_id,
    path,
    slug,
    prompt,
    prompt_tokens,
    corpus_source,
    corpus_index,
    prompt_group,
    group_id,
    group_rule,
    split_bucket,
    dialect,
    nodes_exceeded,
    node_count,
    neuron_count,
    link_count,
    kept_count,
    dropped_count,
    self_loop_count,
    backward_count,
    size_bytes,
    content_hash,
    original_token_count
FROM input.graphs
ORDER BY graph_id;

CREATE VIEW input.group_sizes AS
SELECT group_id, count(*) AS graph_count
FROM graphs
WHERE group_id IS NOT NULL
GROUP BY group_id;

INSERT INTO neuron_graphs
SELECT
    layer,
    neuron,
    graph_id,
    node_count,
    positions,
    activation_min,
    activation_max,
    influence_min,
    influence_max
FROM input.neuron_graphs
ORDER BY layer, neuron, graph_id;

INSERT INTO graph_nodes BY NAME
FROM input.graph_nodes
WHERE (SELECT embed_graph_links FROM input.parameters)
ORDER BY graph_id, node;

INSERT INTO regimes BY NAME
SELECT
    layer,
    neuron,
    node_count,
    up_factor_sum / node_count AS up_factor,
    gate_factor_sum / node_count AS gate_factor,
    CASE greatest(both_positive_count, up_negative_count, gate_negative_count, both_negative_count)
        WHEN both_positive_count THEN 'gate+ up+'
        WHEN up_negative_count THEN 'gate+ up-'
        WHEN gate_negative_count THEN 'gate- up+'
        ELSE 'gate- up-'
    END AS regime,
    greatest(both_positive_count, up_negative_count, gate_negative_count, both_negative_count) / node_count AS regime_share
FROM input.regimes
ORDER BY layer, neuron;

INSERT INTO ablated_nodes BY NAME
SELECT
    * EXCLUDE (score_sum),
    abs(score) / nullif(score_sum, 0) AS score_share
FROM input.ablated_nodes
ORDER BY graph_id, layer, neuron, position;

INSERT INTO ablated_edges BY NAME
FROM input.ablated_edges
ORDER BY graph_id, src_layer, src_neuron, src_position, tgt_layer, tgt_neuron, tgt_token_id, tgt_position;

INSERT INTO graph_links BY NAME
FROM input.graph_links
WHERE (SELECT embed_graph_links FROM input.parameters)
ORDER BY graph_id, target, source;

INSERT INTO tokens
SELECT
    token_id,
    token,
    input_graph_count,
    output_graph_count,
    probability_max
FROM input.tokens
ORDER BY token_id;

INSERT INTO link_counts
SELECT
    graph_id,
    subject,
    kept,
    reason,
    count
FROM input.link_counts
ORDER BY graph_id, subject, kept DESC, reason;

INSERT INTO rejects
SELECT
    path,
    reason,
    message,
    size_bytes
FROM input.rejects
ORDER BY path, reason;

-- Texts of the tokens as the vocabulary of a store spells them, where there is one.
INSERT INTO anchored_circuits
WITH words AS (
    SELECT
        c.circuit_id,
        list(coalesce(v.token, t.token, token_id::VARCHAR) ORDER BY place) AS tokens
    FROM (SELECT circuit_id, kind, unnest(token_ids) AS token_id, generate_subscripts(token_ids, 1) AS place FROM input.circuits) AS c
    LEFT JOIN input.tokens AS t USING (token_id)
    LEFT JOIN input.vocabulary AS v USING (token_id)
    GROUP BY c.circuit_id
),
sizes AS (
    SELECT circuit_id, count(*) AS size
    FROM input.circuit_members
    GROUP BY circuit_id
)
SELECT
    c.circuit_id,
    c.kind,
    CASE
        WHEN w.tokens IS NULL THEN c.anchor
        WHEN c.kind = 'contrast' THEN array_to_string(w.tokens, ' rather than ')
        ELSE array_to_string(w.tokens, ', ')
    END AS anchor,
    c.token_ids,
    s.size,
    c.anchored_count,
    c.graph_count,
    c.group_count,
    c.sign_coherence,
    c.support,
    c.half_agreement,
    c.control_agreement,
    c.null_p,
    c.null_fdr
FROM input.circuits AS c
JOIN sizes AS s USING (circuit_id)
LEFT JOIN words AS w USING (circuit_id)
ORDER BY c.kind, c.half_agreement DESC NULLS LAST, c.circuit_id;

INSERT INTO circuit_paths BY NAME
SELECT
    p.* EXCLUDE (layers, neurons),
    list_transform(list_zip(p.layers, p.neurons), lambda one: 'L' || one[1] || '/N' || one[2]) AS neuron_ids,
    coalesce(v.token, t.token) AS token,
    coalesce(w.token, o.token) AS output
FROM input.circuit_paths AS p
LEFT JOIN input.tokens AS t USING (token_id)
LEFT JOIN input.vocabulary AS v USING (token_id)
LEFT JOIN input.tokens AS o ON o.token_id = p.output_id
LEFT JOIN input.vocabulary AS w ON w.token_id = p.output_id
ORDER BY p.circuit_id, p.rank;

INSERT INTO circuit_effects BY NAME
SELECT
    e.* EXCLUDE (circuit_id),
    CASE WHEN e.clustering IS NULL OR c.is_primary THEN '' ELSE e.clustering || '/' END || e.circuit_id AS circuit_id
FROM input.circuit_effects AS e
LEFT JOIN clusterings AS c USING (clustering)
WHERE e.clustering IS NULL OR c.clustering IS NOT NULL
ORDER BY circuit_id;

INSERT INTO anchored_members
SELECT circuit_id, layer, neuron, role, step, rank, weight, confidence
FROM input.circuit_members
ORDER BY circuit_id, role, rank;

INSERT INTO neurons (
    layer,
    neuron,
    unit_type,
    label,
    description,
    input_label,
    output_label,
    label_kind,
    label_source,
    label_confidence,
    appearance_count,
    group_count,
    node_count,
    bos_share,
    is_template,
    in_degree,
    out_degree,
    input_abs_sum,
    output_abs_sum,
    input_weight_norm,
    output_weight_norm,
    min_activation,
    max_activation,
    mean_activation,
    std_activation,
    num_exemplars,
    mean_influence,
    min_influence,
    max_influence,
    output_norm,
    cluster_path,
    top_cluster,
    sub_module,
    subsub_module,
    hierarchy_depth,
    infomap_flow,
    cluster_confidence,
    left_out
)
WITH places AS (
    SELECT
        layer,
        neuron,
        sum(len(list_filter(positions, lambda position: position = 0)))
        / nullif(sum(len(list_filter(positions, lambda position: position >= 0))), 0) AS bos_share
    FROM input.neuron_graphs
    GROUP BY layer, neuron
),
large_groups AS (
    SELECT count(*) FROM input.group_sizes WHERE graph_count >= 5
),
forms AS (
    SELECT layer, neuron, count(*) AS groups
    FROM (
        SELECT layer, neuron, group_id
        FROM input.neuron_graphs
        JOIN input.graphs USING (graph_id)
        JOIN input.group_sizes USING (group_id)
        WHERE graph_count >= 5
        GROUP BY layer, neuron, group_id
        HAVING count(*) >= 0.8 * any_value(graph_count)
    )
    GROUP BY layer, neuron
),
by_neuron AS (
    SELECT
        layer,
        neuron,
        arg_min(text, rank) FILTER (kind = 'input') AS input_label,
        arg_min(text, rank) FILTER (kind = 'output') AS output_label
    FROM input.labels_here
    WHERE rank IS NOT NULL
    GROUP BY layer, neuron
),
out_edges AS (
    SELECT
        src_layer AS layer,
        src_neuron AS neuron,
        count(*) AS out_degree,
        sum(weight_abs_sum) AS output_abs_sum,
        sqrt(sum(weight_sum ** 2)) AS output_weight_norm
    FROM edges
    GROUP BY ALL
),
in_edges AS (
    SELECT
        tgt_layer AS layer,
        tgt_neuron AS neuron,
        count(*) AS in_degree,
        sum(weight_abs_sum) AS input_abs_sum,
        sqrt(sum(weight_sum ** 2)) AS input_weight_norm
    FROM edges_by_target
    GROUP BY ALL
)
SELECT
    seen.layer,
    seen.neuron,
    (SELECT unit_type FROM input.parameters),
    best.text,
    best.description,
    by_neuron.input_label,
    by_neuron.output_label,
    best.kind,
    best.source,
    best.confidence,
    seen.graph_count,
    seen.group_count,
    seen.node_count,
    places.bos_share,
    CASE WHEN (FROM large_groups) > 0 THEN coalesce(forms.groups = (FROM large_groups), false) END,
    coalesce(in_degree, 0),
    coalesce(out_degree, 0),
    CASE WHEN in_degree IS NULL THEN 0 ELSE input_abs_sum END,
    CASE WHEN out_degree IS NULL THEN 0 ELSE output_abs_sum END,
    CASE WHEN in_degree IS NULL THEN 0 ELSE input_weight_norm END,
    CASE WHEN out_degree IS NULL THEN 0 ELSE output_weight_norm END,
    seen.activation_min,
    coalesce(best.max_activation, seen.activation_max),
    seen.activation_sum / nullif(seen.activation_count, 0),
    deviation_of(nullif(seen.activation_count, 0), seen.activation_sum, seen.activation_sq_sum),
    best.num_exemplars,
    seen.influence_sum / nullif(seen.influence_count, 0),
    seen.influence_min,
    seen.influence_max,
    norms.output_norm,
    member.cluster_path,
    member.top_cluster,
    member.sub_module,
    member.subsub_module,
    member.hierarchy_depth,
    member.flow,
    member.confidence,
    CASE
        WHEN member.cluster_path IS NOT NULL THEN NULL
        -- An imported clustering does not say why.
        WHEN EXISTS (FROM clusterings WHERE is_primary AND gain IS NOT NULL) THEN coalesce(apart.reason, 'weak')
    END
FROM input.neurons AS seen
LEFT JOIN (FROM input.labels_here WHERE rank = 1) AS best USING (layer, neuron)
LEFT JOIN by_neuron USING (layer, neuron)
LEFT JOIN places USING (layer, neuron)
LEFT JOIN forms USING (layer, neuron)
LEFT JOIN out_edges USING (layer, neuron)
LEFT JOIN in_edges USING (layer, neuron)
LEFT JOIN input.neuron_norms AS norms USING (layer, neuron)
LEFT JOIN (
    FROM cluster_members
    WHERE clustering = (SELECT clustering FROM clusterings WHERE is_primary)
) AS member USING (layer, neuron)
LEFT JOIN (
    SELECT layer, neuron, reason
    FROM input.left_out
    WHERE clustering = (SELECT clustering FROM clusterings WHERE is_primary)
) AS apart USING (layer, neuron)
ORDER BY seen.layer, seen.neuron;

INSERT INTO projections BY NAME
FROM input.projections
ORDER BY layer, neuron, projection_kind, direction, rank;

INSERT INTO direct_effects BY NAME
FROM input.direct_effects
ORDER BY layer, neuron;

INSERT INTO exemplars BY NAME
FROM input.exemplars
ORDER BY layer, neuron, sign DESC, rank;

INSERT INTO reports
SELECT
    layer,
    neuron,
    kind,
    title,
    summary,
    input_function,
    output_function,
    function_type,
    polarity,
    regime,
    confidence,
    verdict,
    skeptic_verdict,
    experiment_count,
    findings,
    open_questions,
    reported,
    details,
    EXISTS (FROM input.neurons AS known WHERE known.layer = found.layer AND known.neuron = found.neuron),
    file
FROM input.reports AS found
ORDER BY layer, neuron, kind, file;

INSERT INTO report_examples BY NAME
FROM input.report_examples
ORDER BY layer, neuron, file, kind, rank;

INSERT INTO contexts BY NAME
FROM input.contexts
ORDER BY context_id;

INSERT INTO activations BY NAME
FROM input.activations
WHERE (SELECT embed_activations FROM input.parameters)
ORDER BY unit_type, layer, unit, context_id, position;

INSERT INTO vocabulary BY NAME
FROM input.vocabulary
ORDER BY token_id;

INSERT INTO activation_stats BY NAME
FROM input.activation_stats
ORDER BY unit_type, layer, unit;

INSERT INTO activation_histograms BY NAME
FROM input.activation_histograms
ORDER BY unit_type, layer, unit, sign, bin;

INSERT INTO activation_tokens BY NAME
SELECT t.*, v.token
FROM input.activation_tokens AS t
LEFT JOIN input.vocabulary AS v USING (token_id)
ORDER BY unit_type, layer, unit, relation, rank;

INSERT INTO activation_examples BY NAME
FROM input.activation_examples
ORDER BY unit_type, layer, unit, stratum, rank;

INSERT INTO coactivation BY NAME
FROM input.coactivation
ORDER BY unit_type, layer, unit, other_unit_type, rank;

INSERT INTO token_stats BY NAME
SELECT t.*, v.token
FROM input.token_stats AS t
LEFT JOIN input.vocabulary AS v USING (token_id)
ORDER BY token_id;

INSERT INTO stated_stats BY NAME
FROM input.stated_stats
ORDER BY unit_type, layer, unit, name;

INSERT INTO features BY NAME
FROM input.features
ORDER BY unit_type, layer, unit;

INSERT INTO feature_tokens BY NAME
FROM input.feature_tokens
ORDER BY unit_type, layer, unit, projection_kind, direction, rank;

INSERT INTO feature_neurons BY NAME
FROM input.feature_neurons
ORDER BY unit_type, layer, unit, relation DESC, rank;

INSERT INTO similar_units BY NAME
FROM input.similar_units
ORDER BY unit_type, layer, unit, similarity_kind, rank;

INSERT INTO reconstruction BY NAME
FROM input.reconstruction
ORDER BY layer;

INSERT INTO sources
SELECT path, 'graph', size_bytes, content_hash FROM input.graphs
UNION ALL
SELECT path, 'labels', size_bytes, content_hash FROM input.label_files
UNION ALL
SELECT path, role, size_bytes, content_hash FROM input.other_sources
ORDER BY 2, 1;

INSERT INTO metadata
SELECT key, value FROM input.metadata
UNION ALL SELECT 'total_neurons', count(*)::VARCHAR FROM neurons
UNION ALL SELECT 'total_edges', count(*)::VARCHAR FROM edges
UNION ALL SELECT 'total_anchored_circuits', count(*)::VARCHAR FROM anchored_circuits
UNION ALL SELECT 'total_graphs', count(*)::VARCHAR FROM graphs
UNION ALL SELECT 'total_groups', count(DISTINCT group_id)::VARCHAR FROM graphs HAVING count(group_id) > 0
-- The number of equal groups with the same concentration: the inverse of Simpson's index (Hill, 1973).
UNION ALL SELECT 'effective_groups', round(sum(graph_count) ** 2 / sum(graph_count ** 2), 1)::VARCHAR
    FROM input.group_sizes
    HAVING count(*) > 0
UNION ALL SELECT 'largest_group_graphs', max(graph_count)::VARCHAR FROM input.group_sizes HAVING count(*) > 0
UNION ALL SELECT 'edge_groups_rows', count(*)::VARCHAR FROM input.edge_groups
-- Without pruning any two nodes in causal order are linked, and an edge says no more than that both were there.
UNION ALL SELECT 'links_pruned', (avg((graph_count < joint_graph_count)::INTEGER) >= 0.1)::VARCHAR
    FROM edges
    WHERE joint_graph_count > 1
    HAVING count(*) > 0
UNION ALL FROM input.counts
UNION ALL SELECT 'links_in_files', coalesce(sum(link_count), 0)::VARCHAR FROM graphs
UNION ALL SELECT 'links_kept', coalesce(sum(kept_count), 0)::VARCHAR FROM graphs
UNION ALL SELECT 'links_dropped', coalesce(sum(dropped_count), 0)::VARCHAR FROM graphs
UNION ALL SELECT 'rejected_files', count(*)::VARCHAR FROM rejects
UNION ALL SELECT 'total_contexts', count(*)::VARCHAR FROM contexts HAVING count(*) > 0
UNION ALL SELECT 'total_features', count(*)::VARCHAR FROM features HAVING count(*) > 0
UNION ALL SELECT 'num_layers', coalesce(max(layer) + 1, 0)::VARCHAR FROM neurons
ORDER BY 1;
