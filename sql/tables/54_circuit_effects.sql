-- Causal effects of circuits, cut from the model on prompts that they were not found on.

CREATE TABLE circuit_effects (
    circuit_id VARCHAR NOT NULL,
    clustering VARCHAR,
    tested_count INTEGER NOT NULL,
    topic_prompt_count INTEGER NOT NULL,
    other_prompt_count INTEGER NOT NULL,
    effect DOUBLE NOT NULL,
    effect_elsewhere DOUBLE NOT NULL,
    control_count INTEGER NOT NULL,
    control_effect DOUBLE,
    control_effect_max DOUBLE,
    is_above_controls BOOLEAN NOT NULL,
    sufficiency DOUBLE,
    PRIMARY KEY (circuit_id)
);

COMMENT ON COLUMN circuit_effects.clustering IS 'Clustering of a cluster; NULL for a circuit of a token.';
COMMENT ON COLUMN circuit_effects.tested_count IS 'Neurons that were cut: those of the circuit as it is found on the half of the groups of prompts that was not tested on.';
COMMENT ON COLUMN circuit_effects.topic_prompt_count IS 'Held-out prompts on topic: with the token, or on which a quarter of the neurons of the cluster, and two of them, are nodes.';
COMMENT ON COLUMN circuit_effects.other_prompt_count IS 'Held-out prompts that are not on topic.';
COMMENT ON COLUMN circuit_effects.effect IS 'Necessity: mean KL divergence in nats of the prediction at the last token from that without the circuit, whose neurons take their means, on held-out prompts on topic.';
COMMENT ON COLUMN circuit_effects.effect_elsewhere IS 'The same on held-out prompts that are not on topic.';
COMMENT ON COLUMN circuit_effects.control_count IS 'Random sets of neurons of the same layers, about as often nodes on topic.';
COMMENT ON COLUMN circuit_effects.control_effect IS 'Mean effect of the random sets, on the same prompts.';
COMMENT ON COLUMN circuit_effects.control_effect_max IS 'Largest effect of the random sets.';
COMMENT ON COLUMN circuit_effects.is_above_controls IS 'Whether the effect is larger than that of every random set, which are alike in layer and frequency, not in strength: compare effect_elsewhere.';
COMMENT ON COLUMN circuit_effects.sufficiency IS '1 - KL with all neurons but these at their means / KL with all at their means: 1 where these alone predict as the model does.';
