-- What a slim atlas keeps of the atlas `whole`: edges that are among the strongest of their source or of their target, between neurons of `chosen`.
-- The variable `top` is the number of edges of each.
CREATE TEMP TABLE kept_edges AS
SELECT DISTINCT src_layer, src_neuron, tgt_layer, tgt_neuron
FROM (
    SELECT
        e.src_layer,
        e.src_neuron,
        e.tgt_layer,
        e.tgt_neuron,
        row_number() OVER (
            PARTITION BY e.src_layer, e.src_neuron
            ORDER BY coalesce(e.mean_abs_weight, abs(e.mean_weight)) DESC, e.tgt_layer, e.tgt_neuron, e.method
        ) AS out_rank,
        row_number() OVER (
            PARTITION BY e.tgt_layer, e.tgt_neuron
            ORDER BY coalesce(e.mean_abs_weight, abs(e.mean_weight)) DESC, e.src_layer, e.src_neuron, e.method
        ) AS in_rank
    FROM whole.edges AS e
    SEMI JOIN chosen AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
    SEMI JOIN chosen AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
)
WHERE out_rank <= getvariable('top') OR in_rank <= getvariable('top');
