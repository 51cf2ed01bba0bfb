-- Edge weight from each circuit (top cluster) to each circuit; the diagonal is the weight inside a circuit.
-- Example: FROM circuit_flow WHERE src_top_cluster <> tgt_top_cluster ORDER BY weight_abs_sum DESC LIMIT 10;
CREATE VIEW circuit_flow AS
SELECT
    s.top_cluster AS src_top_cluster,
    t.top_cluster AS tgt_top_cluster,
    count(*) AS edge_count,
    sum(e.count) AS link_count,
    sum(e.weight_sum) AS weight_sum,
    sum(e.weight_abs_sum) AS weight_abs_sum
FROM edges AS e
JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
WHERE s.top_cluster IS NOT NULL AND t.top_cluster IS NOT NULL
GROUP BY ALL
ORDER BY src_top_cluster, tgt_top_cluster;
COMMENT ON COLUMN circuit_flow.src_top_cluster IS 'Top cluster of the sources.';
COMMENT ON COLUMN circuit_flow.tgt_top_cluster IS 'Top cluster of the targets.';
COMMENT ON COLUMN circuit_flow.link_count IS 'Links observed between the two circuits.';
COMMENT ON COLUMN circuit_flow.weight_sum IS 'Sum of link weights.';
COMMENT ON COLUMN circuit_flow.weight_abs_sum IS 'Sum of absolute link weights.';
