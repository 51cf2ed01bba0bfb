-- Neurons of circuits of both kinds: of clusters of every clustering at every level, and of anchored circuits.

CREATE TABLE circuit_members (
    circuit_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    role VARCHAR,
    step INTEGER,
    rank INTEGER,
    weight DOUBLE,
    confidence DOUBLE
);

COMMENT ON COLUMN circuit_members.circuit_id IS 'Circuit: 12.3 in the primary clustering, leiden/12 in another, input:276 of a token.';
COMMENT ON COLUMN circuit_members.kind IS 'cluster, or the kind of an anchored circuit: input, output, contrast or set.';
COMMENT ON COLUMN circuit_members.role IS 'Anchored: anchored, upstream or downstream. Of a cluster: core (confidence of 0.9 or more), contingent (0.5 or more) or noise; NULL where it is not known.';
COMMENT ON COLUMN circuit_members.step IS 'Edges between it and the neurons that carry the anchor; 0 for those, and in clusters.';
COMMENT ON COLUMN circuit_members.rank IS 'Rank in its role in an anchored circuit.';
COMMENT ON COLUMN circuit_members.weight IS 'Flow of a neuron of a cluster, or how strongly it belongs to one that overlaps; how strongly it is tied to an anchored circuit (anchored_members.weight).';
COMMENT ON COLUMN circuit_members.confidence IS 'Share of the bootstraps of the groups of prompts in which it is a member. Of a cluster with clusters inside, only of neurons that are in none of those.';
