-- Circuits of both kinds, largest first: clusters of every clustering at every level, and anchored circuits, with how far to trust them, label
-- coverage and sample labels.

CREATE TABLE circuits (
    circuit_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    clustering VARCHAR,
    is_primary BOOLEAN NOT NULL,
    anchor VARCHAR,
    terms VARCHAR,
    cluster_path VARCHAR,
    level INTEGER,
    parent_path VARCHAR,
    size INTEGER NOT NULL,
    layer_min INTEGER,
    layer_max INTEGER,
    median_layer FLOAT,
    flow FLOAT,
    graph_count INTEGER,
    group_count INTEGER,
    conductance DOUBLE,
    sign_coherence DOUBLE,
    seed_support DOUBLE,
    support DOUBLE,
    control_support DOUBLE,
    half_agreement DOUBLE,
    control_agreement DOUBLE,
    null_p DOUBLE,
    null_fdr DOUBLE,
    is_found_again BOOLEAN,
    effect DOUBLE,
    control_effect_max DOUBLE,
    labelled_count INTEGER NOT NULL,
    label_coherence FLOAT,
    control_coherence FLOAT,
    sample_labels VARCHAR[],
    PRIMARY KEY (circuit_id)
);

COMMENT ON COLUMN circuits.kind IS 'cluster, or the kind of an anchored circuit: input, output, contrast or set.';
COMMENT ON COLUMN circuits.clustering IS 'Clustering that a cluster is of; NULL of an anchored circuit.';
COMMENT ON COLUMN circuits.is_primary IS 'Whether it is a cluster of the primary clustering, whose id is its path alone, or an anchored circuit.';
COMMENT ON COLUMN circuits.anchor IS 'Text of the tokens, or the neurons, of an anchored circuit; the given name of a cluster.';
COMMENT ON COLUMN circuits.terms IS 'Automatic name: the words that set the labels of its neurons apart from other labels. An interpretation of interpretations.';
COMMENT ON COLUMN circuits.cluster_path IS 'Path of a cluster in its clustering.';
COMMENT ON COLUMN circuits.flow IS 'Share of the random walk inside a cluster (Infomap).';
COMMENT ON COLUMN circuits.graph_count IS 'Graphs in which it acts: with the token of an anchored circuit; with a quarter of the neurons of a cluster, and two at least.';
COMMENT ON COLUMN circuits.group_count IS 'Groups of prompts of these graphs.';
COMMENT ON COLUMN circuits.conductance IS 'Weight of the links between it and the rest, over that of all links of its smaller side: 0 where it is apart, 1 where nothing links its own neurons.';
COMMENT ON COLUMN circuits.sign_coherence IS '|sum of the mean weights inside| / sum of |mean weights| inside: 1 where all have one sign.';
COMMENT ON COLUMN circuits.seed_support IS 'Mean Jaccard index of it and its best match in the results of other seeds.';
COMMENT ON COLUMN circuits.support IS 'Median Jaccard index of it and its best match in bootstraps of the groups of prompts. NULL where groups are not told apart. Of an anchored circuit, of the neurons that carry its anchor.';
COMMENT ON COLUMN circuits.control_support IS 'The same of random neurons, as many as it has.';
COMMENT ON COLUMN circuits.half_agreement IS 'Mean Jaccard index of its best matches in two halves of the groups of prompts, or of itself and a match where that is less. Of an anchored circuit, of the neurons that carry its anchor in two halves.';
COMMENT ON COLUMN circuits.control_agreement IS 'The same of what chance gives: random neurons, or the circuit of another token.';
COMMENT ON COLUMN circuits.null_p IS 'Share of networks of the layer-pair configuration null with as many links inside (profiles: as alike profiles), of its best match in one half, tested in the other; twice the median of three splits. Of an anchored circuit: share of circuits of other tokens that agree as well.';
COMMENT ON COLUMN circuits.null_fdr IS 'False discovery rate at this p over the clusters of the clustering (Benjamini and Hochberg 1995).';
COMMENT ON COLUMN circuits.is_found_again IS 'Whether it is found again in the other half of the prompts: half_agreement of 0.5 or more at a null_fdr below 0.05.';
COMMENT ON COLUMN circuits.effect IS 'circuit_effects.effect, in nats; NULL where it was not cut.';
COMMENT ON COLUMN circuits.labelled_count IS 'Neurons that have a label.';
COMMENT ON COLUMN circuits.label_coherence IS 'Words that the labels of two of its neurons share, on average; NULL with fewer than two labels.';
COMMENT ON COLUMN circuits.control_coherence IS 'The same of two random labelled neurons of one layer, over the layers of its neurons.';
COMMENT ON COLUMN circuits.sample_labels IS 'Up to three different labels, of the neurons with most flow, or of the first members.';
