-- All observed edges and all weight-based connections, with the evidence for each pair: graphs, weights or both.
-- Example: FROM edge_evidence WHERE evidence = 'both' ORDER BY graph_count DESC LIMIT 10;
CREATE VIEW edge_evidence AS
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    CASE
        WHEN c.strength IS NULL THEN 'observed only'
        WHEN o.count IS NULL THEN 'weights only'
        ELSE 'both'
    END AS evidence,
    o.count,
    o.graph_count,
    o.mean_weight,
    c.strength,
    c.polarity,
    c.confidence,
    c.upstream_rank,
    c.downstream_rank,
    -- A link weight is activation x derivative. Activations have either sign; connections predict the derivative.
    (o.mean_weight * coalesce(sign(s.mean_activation), 1) > 0) = (c.strength > 0) AS same_sign
FROM (FROM edges WHERE method <> 'weight_graph') AS o
FULL JOIN connections AS c USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
LEFT JOIN neurons AS s ON s.layer = src_layer AND s.neuron = src_neuron;
COMMENT ON COLUMN edge_evidence.evidence IS 'both, observed only (in graphs), or weights only (a connection that no graph shows).';
COMMENT ON COLUMN edge_evidence.same_sign IS 'Whether the mean weight has the predicted sign, given the sign of the mean activation of the source; NULL unless evidence is both.';
