-- Lengths of the vectors of edges that a slim atlas keeps, so that cosines are of those: products of kept edges over lengths of all would be neither.
UPDATE neurons
SET input_weight_norm = 0, output_weight_norm = 0;

UPDATE neurons
SET input_weight_norm = e.norm
FROM (SELECT tgt_layer, tgt_neuron, sqrt(sum(weight_sum ** 2)) AS norm FROM edges GROUP BY ALL) AS e
WHERE e.tgt_layer = neurons.layer AND e.tgt_neuron = neurons.neuron;

UPDATE neurons
SET output_weight_norm = e.norm
FROM (SELECT src_layer, src_neuron, sqrt(sum(weight_sum ** 2)) AS norm FROM edges GROUP BY ALL) AS e
WHERE e.src_layer = neurons.layer AND e.src_neuron = neurons.neuron;
