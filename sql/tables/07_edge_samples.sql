-- Random sample of the edges (all, if few) in sixteen buckets of graphs by hash; source of the view reliability.

CREATE TABLE edge_samples (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    mean_weight FLOAT NOT NULL
);

COMMENT ON COLUMN edge_samples.bucket IS 'Sixteenth of the groups of prompts, 0 to 15, as graphs.split_bucket; even buckets are the first half.';
