-- One row per neuron and graph that contains it, with the token positions; sorted by neuron.

CREATE TABLE neuron_graphs (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    graph_id INTEGER NOT NULL,
    node_count INTEGER,
    positions INTEGER[],
    activation_min FLOAT,
    activation_max FLOAT,
    influence_min FLOAT,
    influence_max FLOAT
);

COMMENT ON COLUMN neuron_graphs.node_count IS 'Token positions at which it is a node.';
COMMENT ON COLUMN neuron_graphs.positions IS 'Token positions of the nodes, from 0; -1 if the file states none.';
COMMENT ON COLUMN neuron_graphs.activation_min IS 'Smallest activation in this graph.';
COMMENT ON COLUMN neuron_graphs.activation_max IS 'Largest activation in this graph.';
COMMENT ON COLUMN neuron_graphs.influence_min IS 'Smallest influence in this graph.';
COMMENT ON COLUMN neuron_graphs.influence_max IS 'Largest influence in this graph.';
