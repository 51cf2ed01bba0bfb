-- All observed edges and all weight-based connections, with the evidence for each pair: graphs, weights or both.
-- Example: FROM edge_evidence WHERE evidence = 'both' ORDER BY graph_count DESC LIMIT 10;
CREATE VIEW edge_evidence AS
WITH pairs AS (
    SELECT
        src_layer,
        src_neuron,
        tgt_layer,
        tgt_neuron,
        CASE
            WHEN c.polarity IS NULL THEN 'observed only'
            WHEN o.count IS NULL THEN 'weights only'
            ELSE 'both'
        END AS evidence,
        o.count,
        o.graph_count,
        o.mean_weight,
        -- A link weight is activation x derivative. Without activations per link, the mean activation gives the sign; not
        -- where sources are compared with their mean.
        coalesce(
            d.mean_derivative,
            CASE
                WHEN NOT EXISTS (FROM metadata WHERE key = 'baseline' AND value = 'mean')
                    THEN o.mean_weight * coalesce(sign(s.mean_activation), 1)
            END
        ) AS observed,
        coalesce(c.derivative, c.strength) AS predicted,
        c.strength,
        c.derivative,
        c.polarity,
        c.confidence,
        c.upstream_rank,
        c.downstream_rank
    FROM (FROM edges WHERE method <> 'weight_graph') AS o
    FULL JOIN connections AS c USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
    LEFT JOIN edge_strengths AS d USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
    LEFT JOIN neurons AS s ON s.layer = src_layer AND s.neuron = src_neuron
)

SELECT
    *,
    (observed > 0) = (predicted > 0) AS same_sign
FROM pairs;
COMMENT ON COLUMN edge_evidence.evidence IS 'both, observed only (in graphs), or weights only (a connection that no graph shows).';
COMMENT ON COLUMN edge_evidence.observed IS 'Mean derivative of the target by the source in the graphs (edge_strengths.mean_derivative); without it the mean weight, with the sign of the source''s mean activation taken out. NULL if sources are compared with their mean (metadata.baseline).';
COMMENT ON COLUMN edge_evidence.predicted IS 'derivative of the connection, else its strength; NULL for a pair of opposite signs whose target has no known regime.';
COMMENT ON COLUMN edge_evidence.same_sign IS 'Whether observed and predicted have one sign; NULL unless both are known.';
