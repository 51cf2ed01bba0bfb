-- What a method finds at each resolution that was compared (`resolutions` of a clustering); empty where none were.

CREATE TABLE resolutions (
    clustering VARCHAR NOT NULL,
    resolution DOUBLE NOT NULL,
    cluster_count BIGINT NOT NULL,
    largest_share FLOAT,
    gain FLOAT,
    half_ami FLOAT,
    stable_count BIGINT,
    is_chosen BOOLEAN NOT NULL,
    PRIMARY KEY (clustering, resolution)
);

COMMENT ON COLUMN resolutions.resolution IS 'Larger values give smaller clusters.';
COMMENT ON COLUMN resolutions.cluster_count IS 'Clusters of two neurons or more.';
COMMENT ON COLUMN resolutions.largest_share IS 'Share of the clustered neurons in the largest one.';
COMMENT ON COLUMN resolutions.gain IS 'Modularity of the clusters.';
COMMENT ON COLUMN resolutions.half_ami IS 'Adjusted mutual information of the clusters of two halves of the groups of prompts, mean over five splits.';
COMMENT ON COLUMN resolutions.stable_count IS 'Neurons in clusters with a half agreement of 0.5 or more in those splits, which are others than those that measure trust.';
COMMENT ON COLUMN resolutions.is_chosen IS 'The clustering is that of this resolution: most neurons in clusters found again, then the larger half_ami.';
