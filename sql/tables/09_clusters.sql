-- The clusters of the primary clustering at every level; every prefix of a cluster_path is a cluster.

CREATE TABLE clusters (
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
    name VARCHAR
);

COMMENT ON COLUMN clusters.name IS 'User-given name of the cluster (a supernode of a graph); NULL if it has none.';
COMMENT ON COLUMN clusters.level IS 'How many numbers cluster_path has; 1 is a top cluster.';
COMMENT ON COLUMN clusters.parent_path IS 'The cluster one level up; NULL for a top cluster.';
COMMENT ON COLUMN clusters.size IS 'Number of neurons, including those of its sub-clusters.';
COMMENT ON COLUMN clusters.layer_min IS 'Lowest layer of its neurons.';
COMMENT ON COLUMN clusters.layer_max IS 'Highest layer of its neurons.';
COMMENT ON COLUMN clusters.median_layer IS 'Median layer of its neurons.';
COMMENT ON COLUMN clusters.flow IS 'Share of the random walk inside it.';
