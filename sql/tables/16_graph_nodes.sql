-- Nodes of every graph: a neuron, token, logit or error at a position. Empty if the graphs are beside the atlas.

CREATE TABLE graph_nodes (
    graph_id INTEGER NOT NULL,
    node INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    layer INTEGER,
    neuron INTEGER,
    token_id BIGINT,
    position INTEGER,
    activation FLOAT,
    influence FLOAT,
    score_gradient FLOAT,
    probability FLOAT
);

COMMENT ON COLUMN graph_nodes.node IS 'Number of the node within its graph, from 0.';
COMMENT ON COLUMN graph_nodes.kind IS 'neuron, token, logit or error; other kinds are of nodes that no table of edges counts.';
COMMENT ON COLUMN graph_nodes.layer IS 'Layer of a neuron; NULL for other kinds.';
COMMENT ON COLUMN graph_nodes.neuron IS 'Index of a neuron within its layer; NULL for other kinds.';
COMMENT ON COLUMN graph_nodes.position IS 'Token position, from 0; NULL if the file states none.';
COMMENT ON COLUMN graph_nodes.activation IS 'Activation at the position; NULL if the graph states none.';
COMMENT ON COLUMN graph_nodes.influence IS 'Influence as the graph states it (RelP graphs: RelP score).';
COMMENT ON COLUMN graph_nodes.score_gradient IS 'The score by the plain gradient, for graphs of this tracer: close to the effect of taking this node alone away.';
COMMENT ON COLUMN graph_nodes.probability IS 'Probability of a logit.';
