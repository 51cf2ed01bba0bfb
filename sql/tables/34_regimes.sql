-- How a traced neuron depends on its two inputs where it is a node: mean derivatives by up and gate, and their signs.

CREATE TABLE regimes (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    node_count INTEGER NOT NULL,
    up_factor FLOAT NOT NULL,
    gate_factor FLOAT NOT NULL,
    regime VARCHAR NOT NULL,
    regime_share FLOAT NOT NULL
);

COMMENT ON COLUMN regimes.node_count IS 'Traced nodes over which means and shares are taken.';
COMMENT ON COLUMN regimes.up_factor IS 'Mean derivative of the activation by up_proj''s output: silu(gate).';
COMMENT ON COLUMN regimes.gate_factor IS 'Mean derivative of the activation by gate_proj''s output: up * silu''(gate).';
COMMENT ON COLUMN regimes.regime IS 'Most frequent signs of gate and up: gate+ up+, gate+ up-, gate- up+ or gate- up-.';
COMMENT ON COLUMN regimes.regime_share IS 'Share of the nodes with these signs.';
