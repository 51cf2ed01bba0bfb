-- Predicted effects against the effects of cutting in the traced model, by size; `all` is the whole random sample.
-- Example: FROM fidelity WHERE size = 'all';
CREATE VIEW fidelity AS
WITH pairs AS (
    SELECT
        graph_id,
        'node' AS subject,
        score_share AS share,
        0.1 AS scale,
        score AS predicted,
        score_gradient AS gradient,
        effect
    FROM ablated_nodes
    UNION ALL
    SELECT
        graph_id,
        CASE WHEN tgt_token_id IS NULL THEN 'edge' ELSE 'edge to output' END,
        abs(predicted) / nullif(abs(target_value), 0),
        1.0,
        predicted,
        NULL,
        effect
    FROM ablated_edges
),

sized AS (
    SELECT pairs.*, group_id, size
    FROM pairs
    JOIN graphs USING (graph_id),
        unnest([
            'all',
            CASE
                WHEN share >= 0.05 * scale THEN 'large'
                WHEN share >= 0.01 * scale THEN 'medium'
                ELSE 'small'
            END
        ]) AS sizes(size)
),

ranked AS (
    SELECT
        *,
        rank() OVER (PARTITION BY subject, size ORDER BY predicted)
        + count(*) OVER (PARTITION BY subject, size, predicted) / 2 AS predicted_rank,
        rank() OVER (PARTITION BY subject, size ORDER BY gradient)
        + count(*) OVER (PARTITION BY subject, size, gradient) / 2 AS gradient_rank,
        rank() OVER (PARTITION BY subject, size ORDER BY effect)
        + count(*) OVER (PARTITION BY subject, size, effect) / 2 AS effect_rank
    FROM sized
)

SELECT
    subject,
    size,
    count(*) AS count,
    count(DISTINCT graph_id) AS graph_count,
    count(DISTINCT group_id) AS group_count,
    CASE WHEN count(*) >= 3 THEN corr(predicted_rank, effect_rank) END::FLOAT AS rank_correlation,
    CASE WHEN count(*) >= 3 THEN regr_slope(effect, predicted) END::FLOAT AS slope,
    avg((sign(predicted) = sign(effect))::INTEGER)::FLOAT AS same_sign_share,
    CASE WHEN count(gradient) >= 3 THEN corr(gradient_rank, effect_rank) END::FLOAT AS gradient_rank_correlation,
    CASE WHEN count(*) >= 3 THEN regr_slope(effect, gradient) END::FLOAT AS gradient_slope,
    avg((sign(gradient) = sign(effect))::INTEGER)::FLOAT AS gradient_same_sign_share
FROM ranked
GROUP BY subject, size
ORDER BY list_position(['node', 'edge', 'edge to output'], subject), list_position(['all', 'large', 'medium', 'small'], size);
COMMENT ON COLUMN fidelity.subject IS 'node (effect on the metric), edge (on the target neuron) or edge to output.';
COMMENT ON COLUMN fidelity.size IS 'all; by the predicted share of the target''s value large (>= 5 %), medium (>= 1 %), small; of nodes by the share of all scores of the prompt >= 0.5 % and >= 0.1 %.';
COMMENT ON COLUMN fidelity.count IS 'Number of ablations.';
COMMENT ON COLUMN fidelity.graph_count IS 'Graphs they are in.';
COMMENT ON COLUMN fidelity.group_count IS 'Groups of prompts these graphs are in: the unit of replication.';
COMMENT ON COLUMN fidelity.rank_correlation IS 'Spearman correlation of prediction and effect; NULL for fewer than three ablations.';
COMMENT ON COLUMN fidelity.slope IS 'Slope of the effect on the prediction by least squares: below 1, predictions overstate.';
COMMENT ON COLUMN fidelity.same_sign_share IS 'Share of the ablations whose effect has the predicted sign.';
COMMENT ON COLUMN fidelity.gradient_rank_correlation IS 'The same correlation of the plain gradient (score_gradient); NULL for edges.';
COMMENT ON COLUMN fidelity.gradient_slope IS 'The same slope of the plain gradient; NULL for edges.';
COMMENT ON COLUMN fidelity.gradient_same_sign_share IS 'The same share of the plain gradient; NULL for edges.';
