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

COMMENT ON COLUMN clusters.name IS 'User-given name of the cluster (a supernode of a graph); NULL if it has none.';
COMMENT ON COLUMN clusters.level IS 'How many numbers cluster_path has; 1 is a top cluster.';
COMMENT ON COLUMN clusters.parent_path IS 'The cluster one level up; NULL for a top cluster.';
COMMENT ON COLUMN clusters.size IS 'Number of neurons, including those of its sub-clusters.';
COMMENT ON COLUMN clusters.layer_min IS 'Lowest layer of its neurons.';
COMMENT ON COLUMN clusters.layer_max IS 'Highest layer of its neurons.';
COMMENT ON COLUMN clusters.median_layer IS 'Median layer of its neurons.';
COMMENT ON COLUMN clusters.flow IS 'Share of the random walk inside it.';
COMMENT ON COLUMN clusters.conductance IS 'Weight of the links between it and the rest, over that of all links of its smaller side: 0 where it is apart, 1 where nothing links its own neurons.';
COMMENT ON COLUMN clusters.sign_coherence IS '|sum of the mean weights inside| / sum of |mean weights| inside: 1 where all have one sign.';
COMMENT ON COLUMN clusters.seed_support IS 'Mean Jaccard index of it and its best match in the results of other seeds.';
COMMENT ON COLUMN clusters.support IS 'Median Jaccard index of it and its best match in bootstraps of the groups of prompts. NULL where groups are not told apart.';
COMMENT ON COLUMN clusters.control_support IS 'The same of random neurons, as many as it has.';
COMMENT ON COLUMN clusters.half_agreement IS 'Mean Jaccard index of its best matches in two halves of the groups of prompts, or of itself and a match where that is less.';
COMMENT ON COLUMN clusters.control_agreement IS 'The same of random neurons, as many as it has: what chance gives.';
COMMENT ON COLUMN clusters.null_p IS 'Share of networks of the layer-pair configuration null with as many links inside (profiles: as alike profiles), of its best match in one half, tested in the other; twice the median of three splits.';
COMMENT ON COLUMN clusters.null_fdr IS 'False discovery rate at this p over the clusters of the clustering (Benjamini and Hochberg 1995).';
