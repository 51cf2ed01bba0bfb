-- Agreement of graphs and weights per pair of layers: shared pairs against chance, sign agreement, rank correlation.
-- Example: FROM evidence_by_layers ORDER BY lift DESC LIMIT 10;
CREATE VIEW evidence_by_layers AS
WITH known AS (
    -- Count only neurons of this atlas, because the graphs cannot show other neurons.
    SELECT
        e.*,
        rank() OVER (PARTITION BY src_layer, tgt_layer, evidence, predicted IS NULL, observed IS NULL ORDER BY abs(observed)) AS observed_rank,
        rank() OVER (PARTITION BY src_layer, tgt_layer, evidence, predicted IS NULL, observed IS NULL ORDER BY abs(predicted)) AS weight_rank
    FROM edge_evidence AS e
    SEMI JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    SEMI JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
    WHERE src_layer < tgt_layer
),

counted AS (
    SELECT
        src_layer,
        tgt_layer,
        count(*) FILTER (evidence <> 'weights only') AS observed_count,
        count(*) FILTER (evidence <> 'observed only') AS connection_count,
        count(*) FILTER (evidence = 'both') AS both_count,
        avg(same_sign::INTEGER)::FLOAT AS sign_agreement,
        (corr(observed_rank, weight_rank) FILTER (evidence = 'both' AND predicted IS NOT NULL AND observed IS NOT NULL))::FLOAT AS rank_correlation
    FROM known
    GROUP BY src_layer, tgt_layer
),

sizes AS (SELECT layer, count(*)::DOUBLE AS size FROM neurons GROUP BY layer)

SELECT
    c.src_layer,
    c.tgt_layer,
    c.observed_count,
    c.connection_count,
    c.both_count,
    (c.both_count * s.size * t.size / nullif(c.observed_count::DOUBLE * c.connection_count, 0))::FLOAT AS lift,
    c.sign_agreement,
    c.rank_correlation
FROM counted AS c
JOIN sizes AS s ON s.layer = c.src_layer
JOIN sizes AS t ON t.layer = c.tgt_layer
ORDER BY c.src_layer, c.tgt_layer;
COMMENT ON COLUMN evidence_by_layers.observed_count IS 'Observed edges.';
COMMENT ON COLUMN evidence_by_layers.connection_count IS 'Connections between neurons of this atlas.';
COMMENT ON COLUMN evidence_by_layers.both_count IS 'Pairs that are both an observed edge and a connection.';
COMMENT ON COLUMN evidence_by_layers.lift IS 'both_count divided by the number expected by chance: observed x connections / possible pairs.';
COMMENT ON COLUMN evidence_by_layers.sign_agreement IS 'Share of the pairs in both_count with the predicted sign, of those that have one (edge_evidence.same_sign).';
COMMENT ON COLUMN evidence_by_layers.rank_correlation IS 'Spearman correlation of |observed| and |predicted| (edge_evidence) over the pairs in both_count.';
