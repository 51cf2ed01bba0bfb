-- Pairs of neurons with more than one row for the same method.
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    method,
    count(*) AS row_count
FROM edges
GROUP BY ALL
HAVING count(*) > 1
ORDER BY ALL;
