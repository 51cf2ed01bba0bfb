-- Every neuron of every clustering with its cluster.

CREATE TABLE cluster_members (
    clustering VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    cluster_path VARCHAR NOT NULL,
    top_cluster INTEGER NOT NULL,
    sub_module INTEGER,
    subsub_module INTEGER,
    hierarchy_depth INTEGER NOT NULL,
    flow FLOAT,
    confidence FLOAT,
    level_confidence FLOAT[]
);

COMMENT ON COLUMN cluster_members.cluster_path IS 'Cluster in this clustering, dotted from the top.';
COMMENT ON COLUMN cluster_members.flow IS 'Share of the random walk that visits it.';
COMMENT ON COLUMN cluster_members.confidence IS 'Share of the bootstraps of the groups of prompts in which it is in the best match of its cluster.';
COMMENT ON COLUMN cluster_members.level_confidence IS 'The same of each cluster of its path, the top one first.';
