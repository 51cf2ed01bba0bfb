-- Strongest paths of anchored circuits that a graph has: from an input token through neurons of the circuit, one of which carries its anchor, to an output token.

CREATE TABLE circuit_paths (
    circuit_id VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id BIGINT NOT NULL,
    token VARCHAR,
    neuron_ids VARCHAR[] NOT NULL,
    output_id BIGINT NOT NULL,
    output VARCHAR,
    strength DOUBLE NOT NULL,
    graph_count BIGINT NOT NULL,
    group_count BIGINT NOT NULL,
    PRIMARY KEY (circuit_id, rank)
);

COMMENT ON COLUMN circuit_paths.rank IS 'Rank by |strength| among the paths of the circuit, 1 first.';
COMMENT ON COLUMN circuit_paths.token_id IS 'Input token that the path starts from.';
COMMENT ON COLUMN circuit_paths.token IS 'Its text.';
COMMENT ON COLUMN circuit_paths.neuron_ids IS 'Neurons on the way, such as [L0/N12, L3/N45].';
COMMENT ON COLUMN circuit_paths.output_id IS 'Output token that the path ends in.';
COMMENT ON COLUMN circuit_paths.output IS 'Its text.';
COMMENT ON COLUMN circuit_paths.strength IS 'Product of the shares of its steps in all |weights| into their targets, over all graphs, with the product of the signs of the weights.';
COMMENT ON COLUMN circuit_paths.graph_count IS 'Graphs that have all links of the path, 1 or more: paths joined from links of several graphs are left out.';
COMMENT ON COLUMN circuit_paths.group_count IS 'Groups of prompts of these graphs.';
