-- Direct effect ratio |direct| / (|direct| + |indirect|) on the predicted token, over prompts; empty without a model.

CREATE TABLE direct_effects (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    prompt_count INTEGER,
    ratio_mean FLOAT NOT NULL,
    ratio_std FLOAT,
    ratio_min FLOAT,
    ratio_max FLOAT,
    effect_type VARCHAR NOT NULL
);

COMMENT ON COLUMN direct_effects.prompt_count IS 'Prompts that the ratio was measured on.';
COMMENT ON COLUMN direct_effects.ratio_mean IS 'Mean ratio; 1 means only directly on the logits, 0 only through later layers.';
COMMENT ON COLUMN direct_effects.ratio_std IS 'Population standard deviation of the ratio.';
COMMENT ON COLUMN direct_effects.ratio_min IS 'Smallest ratio.';
COMMENT ON COLUMN direct_effects.ratio_max IS 'Largest ratio.';
COMMENT ON COLUMN direct_effects.effect_type IS 'logit above 0.7, routing below 0.3, mixed between.';
