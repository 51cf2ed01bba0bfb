-- Fill the tables of clusterings from the catalog `input`. The primary one is also in `clusters`.

INSERT INTO clusterings
SELECT
    clustering,
    is_primary,
    method,
    options,
    seed,
    trial_count,
    codelength,
    one_level_codelength,
    quality,
    edge_count,
    neuron_count,
    cluster_count,
    top_cluster_count,
    max_level,
    singleton_count,
    largest_share,
    tested_count,
    found_again_count,
    stable_count,
    stable_share,
    seed_ami,
    seed_similarity,
    half_ami,
    half_similarity,
    gain,
    gain_swapped,
    gain_permuted,
    base_auc,
    held_out_auc,
    held_out_bits,
    is_overlapping
FROM input.clusterings
ORDER BY is_primary DESC, clustering;

INSERT INTO cluster_members
SELECT
    clustering,
    layer,
    neuron,
    cluster_path,
    top_cluster,
    sub_module,
    subsub_module,
    hierarchy_depth,
    flow,
    confidence,
    level_confidence
FROM input.members
ORDER BY clustering, layer, neuron;

INSERT INTO cluster_memberships BY NAME
FROM input.memberships
ORDER BY clustering, string_split(cluster_path, '.')::INTEGER[], weight DESC, layer, neuron;

INSERT INTO resolutions BY NAME
FROM input.resolutions
ORDER BY clustering, resolution;

INSERT INTO clustering_clusters
SELECT
    clustering,
    cluster_path,
    level,
    top_cluster,
    sub_module,
    subsub_module,
    parent_path,
    size,
    layer_min,
    layer_max,
    median_layer,
    flow,
    name,
    conductance,
    sign_coherence,
    seed_support,
    support,
    control_support,
    half_agreement,
    control_agreement,
    null_p,
    null_fdr
FROM input.clusters
ORDER BY clustering, string_split(cluster_path, '.')::INTEGER[];

INSERT INTO clusters
SELECT * EXCLUDE (clustering)
FROM clustering_clusters
WHERE clustering = (SELECT clustering FROM clusterings WHERE is_primary)
ORDER BY string_split(cluster_path, '.')::INTEGER[];
