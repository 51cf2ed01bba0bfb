-- One row per clustering: method, options, seed and quality.

CREATE TABLE clusterings (
    clustering VARCHAR NOT NULL,
    is_primary BOOLEAN NOT NULL,
    method VARCHAR NOT NULL,
    options VARCHAR NOT NULL,
    seed BIGINT,
    trial_count INTEGER,
    codelength DOUBLE,
    one_level_codelength DOUBLE,
    quality DOUBLE,
    edge_count BIGINT,
    neuron_count BIGINT,
    cluster_count BIGINT,
    top_cluster_count BIGINT,
    max_level INTEGER,
    singleton_count BIGINT,
    largest_share DOUBLE,
    tested_count BIGINT,
    found_again_count BIGINT,
    stable_count BIGINT,
    stable_share DOUBLE,
    seed_ami DOUBLE,
    seed_similarity DOUBLE,
    half_ami DOUBLE,
    half_similarity DOUBLE,
    gain DOUBLE,
    gain_swapped DOUBLE,
    gain_permuted DOUBLE,
    base_auc DOUBLE,
    held_out_auc DOUBLE,
    held_out_bits DOUBLE,
    is_overlapping BOOLEAN,
    PRIMARY KEY (clustering)
);

COMMENT ON COLUMN clusterings.clustering IS 'Name of the clustering.';
COMMENT ON COLUMN clusterings.is_primary IS 'Whether neurons.cluster_path and clusters come from it: the one the recipe names, else the one with most neurons in clusters that are found again, else the first.';
COMMENT ON COLUMN clusterings.method IS 'Clustering method: infomap, leiden, louvain, spectral, block-model, nmf, profiles, consensus, local, links, or that of an import.';
COMMENT ON COLUMN clusterings.options IS 'Options of the method, as JSON.';
COMMENT ON COLUMN clusterings.seed IS 'Random seed.';
COMMENT ON COLUMN clusterings.trial_count IS 'Trials; the best one was kept.';
COMMENT ON COLUMN clusterings.codelength IS 'Bits per step of the random walk, lower is better (Infomap).';
COMMENT ON COLUMN clusterings.one_level_codelength IS 'Bits per step with all neurons in one cluster: the baseline for codelength.';
COMMENT ON COLUMN clusterings.quality IS 'Quality by the method, higher is better: modularity or CPM (leiden, louvain), - description length in bits per link (block-model), share of results that agree (consensus), partition density (links); NULL for others.';
COMMENT ON COLUMN clusterings.edge_count IS 'Distinct edges.';
COMMENT ON COLUMN clusterings.neuron_count IS 'Distinct neurons.';
COMMENT ON COLUMN clusterings.cluster_count IS 'Clusters at all levels.';
COMMENT ON COLUMN clusterings.top_cluster_count IS 'Clusters at level 1.';
COMMENT ON COLUMN clusterings.max_level IS 'Deepest level.';
COMMENT ON COLUMN clusterings.singleton_count IS 'Clusters of one neuron.';
COMMENT ON COLUMN clusterings.largest_share IS 'Share of the clustered neurons in the largest top cluster.';
COMMENT ON COLUMN clusterings.tested_count IS 'Clusters of three neurons or more, whose trust is measured; NULL where groups of prompts are not told apart.';
COMMENT ON COLUMN clusterings.found_again_count IS 'Of them, those found again: half_agreement of 0.5 or more at a null_fdr below 0.05.';
COMMENT ON COLUMN clusterings.stable_count IS 'Neurons in such a cluster.';
COMMENT ON COLUMN clusterings.stable_share IS 'Their share of the neurons of its network, which have an edge that reaches its thresholds.';
COMMENT ON COLUMN clusterings.seed_ami IS 'Mean adjusted mutual information with the results of other seeds; 1 is equal, 0 unrelated. NULL of methods without chance. Of profiles, nmf, local and links, these, half_ami and held-out scores are of what the method chooses by itself, before replication does.';
COMMENT ON COLUMN clusterings.seed_similarity IS 'Mean element-centric similarity with them (Gates et al. 2019).';
COMMENT ON COLUMN clusterings.half_ami IS 'Mean adjusted mutual information of the results of two halves of the groups of prompts, over neurons in both.';
COMMENT ON COLUMN clusterings.half_similarity IS 'Mean element-centric similarity of them.';
COMMENT ON COLUMN clusterings.gain IS 'How much better it is than one cluster: share of the codelength saved (Infomap), else modularity with every neuron that is in none alone.';
COMMENT ON COLUMN clusterings.gain_swapped IS 'The same, by the same method, on networks whose links are swapped within each pair of layers.';
COMMENT ON COLUMN clusterings.gain_permuted IS 'The same on networks whose weights are permuted. A gain below this is no evidence that weights form clusters.';
COMMENT ON COLUMN clusterings.base_auc IS 'Area under the ROC curve of links of one half of the prompts, predicted by degrees, strengths and common presence in the other.';
COMMENT ON COLUMN clusterings.held_out_auc IS 'The same where it is also known whether both neurons are in one cluster of that other half.';
COMMENT ON COLUMN clusterings.held_out_bits IS 'Log loss in bits per pair that knowing the clusters saves.';
COMMENT ON COLUMN clusterings.is_overlapping IS 'Whether a neuron may be in several clusters (cluster_memberships).';
