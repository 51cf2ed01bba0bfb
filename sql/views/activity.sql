-- How often neurons and features are active on text, beside how often they are in graphs.
-- Example: FROM activity ORDER BY graph_share DESC LIMIT 10;
CREATE VIEW activity AS
SELECT
    s.unit_type,
    s.layer,
    s.unit,
    n.label,
    s.density,
    CASE WHEN s.token_count IS NOT NULL THEN s.active_context_count / s.context_count END AS context_share,
    s.is_dead,
    s.is_dense,
    n.graph_count,
    n.graph_count / (SELECT count(*) FROM graphs) AS graph_share,
    s.mean_active,
    s.max_active
FROM activation_stats AS s
LEFT JOIN neurons AS n ON n.layer = s.layer AND n.neuron = s.unit AND n.unit_type = s.unit_type
ORDER BY s.unit_type, s.layer, s.unit;
COMMENT ON COLUMN activity.density IS 'Share of the tokens on which the unit is active (activation_stats).';
COMMENT ON COLUMN activity.context_share IS 'Share of the contexts in which it is active on any token.';
COMMENT ON COLUMN activity.graph_count IS 'Graphs with the neuron; NULL for units that no graph holds.';
COMMENT ON COLUMN activity.graph_share IS 'graph_count over all graphs.';
