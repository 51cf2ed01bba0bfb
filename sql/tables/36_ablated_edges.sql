-- A random sample of edges of single graphs, each cut alone in the traced model: the prediction beside the effect.

CREATE TABLE ablated_edges (
    graph_id INTEGER NOT NULL,
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    src_position INTEGER NOT NULL,
    tgt_layer INTEGER,
    tgt_neuron INTEGER,
    tgt_token_id BIGINT,
    tgt_position INTEGER NOT NULL,
    predicted DOUBLE NOT NULL,
    effect DOUBLE NOT NULL,
    target_value DOUBLE NOT NULL
);

COMMENT ON COLUMN ablated_edges.src_position IS 'Token position of the source, from 0.';
COMMENT ON COLUMN ablated_edges.tgt_layer IS 'Layer of a target neuron; NULL for an output.';
COMMENT ON COLUMN ablated_edges.tgt_neuron IS 'Index of a target neuron within its layer; NULL for an output.';
COMMENT ON COLUMN ablated_edges.tgt_token_id IS 'Token of a target output; NULL for a neuron.';
COMMENT ON COLUMN ablated_edges.tgt_position IS 'Token position of the target, from 0.';
COMMENT ON COLUMN ablated_edges.predicted IS 'Direct effect by the rules of the graphs (metadata.rules).';
COMMENT ON COLUMN ablated_edges.effect IS 'Target less the target with the source at its baseline, all other neurons held; attention and norms are computed again.';
COMMENT ON COLUMN ablated_edges.target_value IS 'Activation of the target neuron, or value of the output.';
