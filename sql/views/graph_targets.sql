-- Traced output tokens of every graph, most probable first.
-- Example: FROM graph_targets LIMIT 10;
CREATE VIEW graph_targets AS
SELECT
    graph_id,
    node,
    token_id,
    token,
    position,
    probability
FROM graph_nodes
LEFT JOIN tokens USING (token_id)
WHERE kind = 'logit'
ORDER BY graph_id, probability DESC NULLS LAST, node;
COMMENT ON COLUMN graph_targets.token IS 'Text of the token.';
COMMENT ON COLUMN graph_targets.probability IS 'Probability of the token at the position.';
