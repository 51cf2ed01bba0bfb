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
    PRIMARY KEY (clustering)
);

COMMENT ON COLUMN clusterings.clustering IS 'Name of the clustering.';
COMMENT ON COLUMN clusterings.is_primary IS 'Whether neurons.cluster_path and clusters come from it.';
COMMENT ON COLUMN clusterings.method IS 'Clustering method: infomap, leiden, ...';
COMMENT ON COLUMN clusterings.options IS 'Options of the method, as JSON.';
COMMENT ON COLUMN clusterings.seed IS 'Random seed.';
COMMENT ON COLUMN clusterings.trial_count IS 'Trials; the best one was kept.';
COMMENT ON COLUMN clusterings.codelength IS 'Bits per step of the random walk, lower is better (Infomap).';
COMMENT ON COLUMN clusterings.one_level_codelength IS 'Bits per step with all neurons in one cluster: the baseline for codelength.';
COMMENT ON COLUMN clusterings.quality IS 'Quality by the method, higher is better (Leiden); NULL for Infomap.';
COMMENT ON COLUMN clusterings.edge_count IS 'Distinct edges.';
COMMENT ON COLUMN clusterings.neuron_count IS 'Distinct neurons.';
COMMENT ON COLUMN clusterings.cluster_count IS 'Clusters at all levels.';
COMMENT ON COLUMN clusterings.top_cluster_count IS 'Clusters at level 1.';
COMMENT ON COLUMN clusterings.max_level IS 'Deepest level.';
