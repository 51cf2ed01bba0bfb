-- Neurons of the circuits of one token, contrast or set. A neuron may be in several.

CREATE TABLE anchored_members (
    circuit_id VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    role VARCHAR NOT NULL,
    step INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    weight DOUBLE,
    confidence DOUBLE
);

COMMENT ON COLUMN anchored_members.role IS 'anchored (carries the anchor), upstream or downstream (added along strong edges).';
COMMENT ON COLUMN anchored_members.step IS 'Edges between it and the neurons that carry the anchor; 0 for those.';
COMMENT ON COLUMN anchored_members.rank IS 'Rank in its role, 1 first: by score of those that carry the anchor, else by step and weight.';
COMMENT ON COLUMN anchored_members.weight IS 'Anchored: sum of link weights between anchor and neuron per graph with the anchor. Upstream: mean share of the input of the neurons it was found from; downstream: of their output.';
COMMENT ON COLUMN anchored_members.confidence IS 'Share of the bootstraps of the groups of prompts in which it is a member.';
