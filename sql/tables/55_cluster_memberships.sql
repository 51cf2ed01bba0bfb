-- Neurons of clusterings whose clusters overlap: a neuron may be in several. `cluster_members` has the first of them.

CREATE TABLE cluster_memberships (
    clustering VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    cluster_path VARCHAR NOT NULL,
    weight FLOAT,
    confidence FLOAT
);

COMMENT ON COLUMN cluster_memberships.weight IS 'How strongly it belongs, by the method: share of the factor (nmf), probability of the walk (local), share of its links (links).';
COMMENT ON COLUMN cluster_memberships.confidence IS 'Share of the bootstraps of the groups of prompts in which it is in the best match of the cluster.';
