-- Top connections per neuron by the weights, predicted in the regime of the target where that is known; empty unless wired.

CREATE TABLE connections (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    c_up FLOAT,
    c_gate FLOAT,
    strength FLOAT,
    derivative FLOAT,
    polarity VARCHAR NOT NULL,
    confidence FLOAT,
    upstream_rank INTEGER,
    downstream_rank INTEGER,
    agreeing FLOAT GENERATED ALWAYS AS (c_up + c_gate) VIRTUAL,
    opposing FLOAT GENERATED ALWAYS AS (c_up - c_gate) VIRTUAL,
    listed_by VARCHAR GENERATED ALWAYS AS (
        CASE WHEN upstream_rank IS NULL THEN 'source' WHEN downstream_rank IS NULL THEN 'target' ELSE 'both' END
    ) VIRTUAL
);

COMMENT ON COLUMN connections.c_up IS 'up_proj of the target . down_proj of the source.';
COMMENT ON COLUMN connections.c_gate IS 'gate_proj of the target . down_proj of the source.';
COMMENT ON COLUMN connections.strength IS 'c_up + c_gate where both have one sign: |c_up| + |c_gate|, negative where both are; NULL for opposite signs. The published definition.';
COMMENT ON COLUMN connections.derivative IS 'up_factor * c_up + gate_factor * c_gate with the factors of the target (regimes): how it changes with the source, norms and attention apart. NULL if its regime is unknown.';
COMMENT ON COLUMN connections.polarity IS 'excitatory or inhibitory by the sign of derivative; where that is NULL by the sign of strength, which flips if the target fires with gate and up both negative; else mixed.';
COMMENT ON COLUMN connections.confidence IS 'Smaller of |c_up| and |c_gate| over the larger; NULL for opposite signs.';
COMMENT ON COLUMN connections.upstream_rank IS 'Rank among the connections of this polarity into the target; NULL if it is not in that list.';
COMMENT ON COLUMN connections.downstream_rank IS 'Rank among the connections of this polarity out of the source; NULL if it is not in that list.';
COMMENT ON COLUMN connections.agreeing IS 'c_up + c_gate: the derivative, up to a positive factor, of a target that fires with gate and up positive; of both negative, its opposite.';
COMMENT ON COLUMN connections.opposing IS 'c_up - c_gate: the same of a target that fires with gate positive and up negative; of the reverse, its opposite.';
COMMENT ON COLUMN connections.listed_by IS 'List of strongest connections that contains it: of the source, of the target or both.';
