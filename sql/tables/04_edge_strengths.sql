-- Edges against their targets and sources: shares, derivatives, positions, association. Needs the links of graphs.

CREATE TABLE edge_strengths (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    share_count INTEGER NOT NULL,
    mean_share FLOAT,
    strong_count INTEGER,
    strong_graph_count INTEGER,
    strong_group_count INTEGER,
    derivative_count INTEGER NOT NULL,
    mean_derivative FLOAT,
    std_derivative FLOAT,
    same_sign_share FLOAT,
    position_count INTEGER NOT NULL,
    same_position_count INTEGER NOT NULL,
    joint_group_count INTEGER,
    shrunk_lift FLOAT,
    association_p DOUBLE
);

COMMENT ON COLUMN edge_strengths.share_count IS 'Links whose target states an activation other than 0; the denominator of mean_share and strong_count.';
COMMENT ON COLUMN edge_strengths.mean_share IS 'Mean of weight / activation of the target. NULL if weights are no direct effects (metadata.link_weight) or no target states an activation.';
COMMENT ON COLUMN edge_strengths.strong_count IS 'Links with |weight| >= metadata.strong_share of |activation of the target|.';
COMMENT ON COLUMN edge_strengths.strong_graph_count IS 'Distinct graphs with at least one such link.';
COMMENT ON COLUMN edge_strengths.strong_group_count IS 'Distinct groups of prompts with at least one such link.';
COMMENT ON COLUMN edge_strengths.derivative_count IS 'Links whose source states an activation other than 0; the denominator of the derivative columns.';
COMMENT ON COLUMN edge_strengths.mean_derivative IS 'Mean of weight / activation of the source: how the target changes with the source. NULL if sources are compared with their mean (metadata.baseline).';
COMMENT ON COLUMN edge_strengths.std_derivative IS 'Population standard deviation of it over the links.';
COMMENT ON COLUMN edge_strengths.same_sign_share IS 'Share of the links whose derivative has the more frequent sign, 0.5 to 1: sign consistency given the sign of the source.';
COMMENT ON COLUMN edge_strengths.position_count IS 'Links whose two ends state a position.';
COMMENT ON COLUMN edge_strengths.same_position_count IS 'Of these, links within one token position; the others pass through attention.';
COMMENT ON COLUMN edge_strengths.joint_group_count IS 'Groups of prompts with a graph that contains both ends, linked or not.';
COMMENT ON COLUMN edge_strengths.shrunk_lift IS '(joint_group_count + 1) / (expected + 1), expected = groups of one * groups of the other / groups: lift over groups of prompts, shrunk to 1 for rare ends.';
COMMENT ON COLUMN edge_strengths.association_p IS 'Probability of at least joint_group_count joint groups if the two were in independent groups: hypergeometric; above 200 groups of the rarer end, G-test (one-sided).';
