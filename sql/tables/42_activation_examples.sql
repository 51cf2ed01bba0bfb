-- Contexts in which a unit is active, one place each: the strongest, and some of each quarter; and contexts in which it is not.

CREATE TABLE activation_examples (
    unit_type VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    stratum VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    context_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    value DOUBLE,
    weight DOUBLE
);

COMMENT ON COLUMN activation_examples.stratum IS 'top (strongest contexts), quarter 1 (strongest) to quarter 4 of the active contexts, drawn by a fixed shuffle; special (peak on a special token or in the first place); without activation: inactive (any token), same token (the one that it fires on most).';
COMMENT ON COLUMN activation_examples.position IS 'Strongest place of the context.';
COMMENT ON COLUMN activation_examples.value IS 'Activation there; NULL where the unit is not active, and |value| is at most the threshold.';
COMMENT ON COLUMN activation_examples.weight IS 'Contexts of the quarter per drawn one: the weight of a mean over drawn examples. NULL for the others.';
