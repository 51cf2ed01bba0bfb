-- Circuits of one token, contrast or set of neurons, and how surely they are found again. They overlap.

CREATE TABLE anchored_circuits (
    circuit_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    anchor VARCHAR NOT NULL,
    token_ids BIGINT[],
    size INTEGER NOT NULL,
    anchored_count INTEGER NOT NULL,
    graph_count INTEGER,
    group_count INTEGER,
    sign_coherence DOUBLE,
    support DOUBLE,
    half_agreement DOUBLE,
    control_agreement DOUBLE,
    null_p DOUBLE,
    null_fdr DOUBLE,
    PRIMARY KEY (circuit_id)
);

COMMENT ON COLUMN anchored_circuits.circuit_id IS 'Id: cluster_path of a cluster; kind and token of an anchored circuit, as in input:276.';
COMMENT ON COLUMN anchored_circuits.kind IS 'What it is of: input (a token that drives its neurons), output (a token that they promote or suppress), contrast (of two output tokens), set (of neurons).';
COMMENT ON COLUMN anchored_circuits.anchor IS 'Text of its tokens, or its neurons.';
COMMENT ON COLUMN anchored_circuits.token_ids IS 'Tokens of the anchor. Several where nearly the same neurons carry them.';
COMMENT ON COLUMN anchored_circuits.size IS 'Number of its neurons.';
COMMENT ON COLUMN anchored_circuits.anchored_count IS 'Neurons that carry the anchor; the others were added upstream and downstream.';
COMMENT ON COLUMN anchored_circuits.graph_count IS 'Distinct graphs with the token, or with any of them.';
COMMENT ON COLUMN anchored_circuits.group_count IS 'Distinct groups of prompts of these graphs.';
COMMENT ON COLUMN anchored_circuits.sign_coherence IS '|sum of the weights| / sum of |net weight of each neuron| between the anchor and the neurons that carry it: 1 where all push one way.';
COMMENT ON COLUMN anchored_circuits.support IS 'Median Jaccard index of the neurons that carry the anchor and those of bootstraps of the groups of prompts. NULL with one group.';
COMMENT ON COLUMN anchored_circuits.half_agreement IS 'Mean Jaccard index of the neurons that carry the anchor in two halves of the groups of prompts, over splits other than those that chose the size.';
COMMENT ON COLUMN anchored_circuits.control_agreement IS 'The same with the circuit of another token of the kind in the other half: what chance gives.';
COMMENT ON COLUMN anchored_circuits.null_p IS 'Share of circuits of other tokens that agree with it as well as its own half does; at least 1/1001; NULL with fewer than five circuits of the kind.';
COMMENT ON COLUMN anchored_circuits.null_fdr IS 'False discovery rate at this p over the circuits of the kind (Benjamini and Hochberg 1995).';
