-- Neurons with high input and low output interpretability by one source: the trigger is clear, the effect is not.
-- Example: FROM low_output_high_input LIMIT 10;
CREATE VIEW low_output_high_input AS
SELECT
    layer,
    neuron,
    i.source,
    first(i.text ORDER BY i.rank) AS input_label,
    first(o.text ORDER BY o.rank) AS output_label,
    first(i.type ORDER BY i.rank) AS input_type,
    first(o.type ORDER BY o.rank) AS output_type
FROM (FROM labels WHERE is_of_atlas AND kind = 'input' AND interpretability = 'high') AS i
JOIN (FROM labels WHERE is_of_atlas AND kind = 'output' AND interpretability = 'low') AS o USING (layer, neuron)
WHERE o.source = i.source
GROUP BY layer, neuron, i.source
ORDER BY layer, neuron, i.source;
COMMENT ON COLUMN low_output_high_input.input_type IS 'Type of the input label.';
COMMENT ON COLUMN low_output_high_input.output_type IS 'Type of the output label.';
