-- Convert lists of strongest connections to one row per pair, for `connections` and `edges` of a stats folder.
-- A pair may be in the list of its source (downstream), of its target (upstream), or in both.
CREATE OR REPLACE TABLE listed (
    direction VARCHAR NOT NULL,
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    c_up FLOAT,
    c_gate FLOAT,
    strength FLOAT,
    derivative FLOAT,
    polarity VARCHAR,
    confidence FLOAT,
    rank INTEGER NOT NULL
);

CREATE OR REPLACE VIEW connections AS
SELECT
    src_layer,
    src_neuron,
    tgt_layer,
    tgt_neuron,
    listing.c_up,
    listing.c_gate,
    listing.strength,
    listing.derivative,
    coalesce(listing.polarity, CASE WHEN listing.strength > 0 THEN 'excitatory' ELSE 'inhibitory' END) AS polarity,
    listing.confidence,
    upstream_rank,
    downstream_rank
FROM (
    SELECT
        src_layer,
        src_neuron,
        tgt_layer,
        tgt_neuron,
        -- Both lists state the same numbers up to rounding. The list of the source takes precedence.
        arg_min(
            {
                c_up: c_up,
                c_gate: c_gate,
                strength: strength,
                derivative: derivative,
                polarity: polarity,
                confidence: confidence
            },
            rank + CASE WHEN direction = 'downstream' THEN 0 ELSE 1_000_000 END
        ) AS listing,
        min(rank) FILTER (direction = 'upstream') AS upstream_rank,
        min(rank) FILTER (direction = 'downstream') AS downstream_rank
    FROM listed
    GROUP BY src_layer, src_neuron, tgt_layer, tgt_neuron
)
ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron;
