-- A random sample of nodes, each taken away alone in the traced model: the score beside the effect on the metric.

CREATE TABLE ablated_nodes (
    graph_id INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    position INTEGER NOT NULL,
    score DOUBLE NOT NULL,
    score_share DOUBLE,
    score_gradient DOUBLE NOT NULL,
    effect DOUBLE NOT NULL
);

COMMENT ON COLUMN ablated_nodes.position IS 'Token position, from 0.';
COMMENT ON COLUMN ablated_nodes.score IS 'Score by the rules of the graphs (metadata.rules): the predicted effect.';
COMMENT ON COLUMN ablated_nodes.score_share IS '|score| over the sum of |score| of all neurons of the prompt.';
COMMENT ON COLUMN ablated_nodes.score_gradient IS 'Score by the plain gradient.';
COMMENT ON COLUMN ablated_nodes.effect IS 'Metric of the prompt less the metric with the node at its baseline, everything behind it computed again.';
