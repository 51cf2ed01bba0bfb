-- Edge weight from each layer to each layer, over all edges.
-- Example: FROM layer_flow ORDER BY weight_abs_sum DESC LIMIT 10;
CREATE VIEW layer_flow AS
SELECT
    src_layer,
    tgt_layer,
    count(*) AS edge_count,
    sum(count) AS link_count,
    sum(weight_sum) AS weight_sum,
    sum(weight_abs_sum) AS weight_abs_sum
FROM edges
GROUP BY src_layer, tgt_layer
ORDER BY src_layer, tgt_layer;
COMMENT ON COLUMN layer_flow.link_count IS 'Links observed between the two layers.';
COMMENT ON COLUMN layer_flow.weight_sum IS 'Sum of link weights.';
COMMENT ON COLUMN layer_flow.weight_abs_sum IS 'Sum of absolute link weights.';
