-- The clusters of every clustering, side by side.

CREATE TABLE clustering_clusters (
    clustering VARCHAR NOT NULL,
    cluster_path VARCHAR NOT NULL,
    level INTEGER NOT NULL,
    top_cluster INTEGER NOT NULL,
    sub_module INTEGER,
    subsub_module INTEGER,
    parent_path VARCHAR,
    size INTEGER NOT NULL,
    layer_min INTEGER NOT NULL,
    layer_max INTEGER NOT NULL,
    median_layer FLOAT NOT NULL,
    flow FLOAT,
    name VARCHAR,
    conductance DOUBLE,
    sign_coherence DOUBLE,
    seed_support DOUBLE,
    support DOUBLE,
    control_support DOUBLE,
    half_agreement DOUBLE,
    control_agreement DOUBLE,
    null_p DOUBLE,
    null_fdr DOUBLE
);

COMMENT ON COLUMN clustering_clusters.name IS 'User-given name of the cluster (a supernode of a graph); NULL if it has none.';
