-- Contexts in which a unit is active, one place each: the strongest, and some of each quarter of all active contexts.

CREATE TABLE activation_examples (
    layer INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    stratum VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    context_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    value DOUBLE NOT NULL,
    weight DOUBLE
);

COMMENT ON COLUMN activation_examples.stratum IS 'top (strongest contexts), or quarter 1 (strongest) to quarter 4 of the active contexts, drawn by a fixed shuffle.';
COMMENT ON COLUMN activation_examples.position IS 'Strongest place of the context.';
COMMENT ON COLUMN activation_examples.value IS 'Activation there.';
COMMENT ON COLUMN activation_examples.weight IS 'Contexts of the quarter per drawn one: the weight of a mean over drawn examples. NULL for top.';
