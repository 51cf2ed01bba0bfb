-- Top connections per neuron by weights alone, for the target's usual regime; sorted by source; empty unless wired.

CREATE TABLE connections (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    c_up FLOAT,
    c_gate FLOAT,
    strength FLOAT NOT NULL,
    polarity VARCHAR NOT NULL,
    confidence FLOAT,
    upstream_rank INTEGER,
    downstream_rank INTEGER,
    listed_by VARCHAR GENERATED ALWAYS AS (
        CASE WHEN upstream_rank IS NULL THEN 'source' WHEN downstream_rank IS NULL THEN 'target' ELSE 'both' END
    ) VIRTUAL
);

COMMENT ON COLUMN connections.c_up IS 'up_proj of the target . down_proj of the source.';
COMMENT ON COLUMN connections.c_gate IS 'gate_proj of the target . down_proj of the source.';
COMMENT ON COLUMN connections.strength IS 'c_up + c_gate; both have one sign, so it is |c_up| + |c_gate|, negative where inhibitory.';
COMMENT ON COLUMN connections.polarity IS 'excitatory if both products are positive, inhibitory if both are negative. This is a prediction; it flips if the target fires with gate and up both negative.';
COMMENT ON COLUMN connections.confidence IS 'Smaller of |c_up| and |c_gate| over the larger.';
COMMENT ON COLUMN connections.upstream_rank IS 'Rank among the connections of this polarity into the target; NULL if it is not in that list.';
COMMENT ON COLUMN connections.downstream_rank IS 'Rank among the connections of this polarity out of the source; NULL if it is not in that list.';
COMMENT ON COLUMN connections.listed_by IS 'List of strongest connections that contains it: of the source, of the target or both.';
