-- Clusterings with how far to trust each, the primary one first.
SELECT
    clustering,
    is_primary,
    method,
    neuron_count,
    edge_count,
    top_cluster_count,
    cluster_count,
    largest_share,
    tested_count,
    found_again_count,
    stable_count,
    stable_share,
    seed_ami,
    half_ami,
    half_similarity,
    gain,
    gain_swapped,
    gain_permuted,
    base_auc,
    held_out_auc,
    held_out_bits,
    is_overlapping
FROM clusterings
ORDER BY is_primary DESC, clustering
