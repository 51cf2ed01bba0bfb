-- Convert lists of per-neuron profiles to one row per pair. A pair can be in the list of its source and of its target.
-- Lists that were truncated before a merge count fewer links, so the larger count is taken.
CREATE OR REPLACE TABLE listed (
    src_layer INTEGER,
    src_neuron INTEGER,
    src_token BIGINT,
    tgt_layer INTEGER,
    tgt_neuron INTEGER,
    tgt_token BIGINT,
    count BIGINT NOT NULL,
    mean_weight DOUBLE NOT NULL
);

CREATE OR REPLACE TABLE profiles (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    appearance_count BIGINT
);

CREATE OR REPLACE TABLE together (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    other_layer INTEGER NOT NULL,
    other_neuron INTEGER NOT NULL,
    count BIGINT NOT NULL
);

CREATE OR REPLACE VIEW pairs AS
SELECT
    * EXCLUDE (mean_weight, count),
    max(count) AS count,
    arg_max(mean_weight, count) * max(count) AS weight_sum
FROM listed
GROUP BY ALL;

CREATE OR REPLACE VIEW edges AS
SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, weight_sum
FROM pairs
WHERE src_layer IS NOT NULL AND tgt_layer IS NOT NULL
ORDER BY ALL;

CREATE OR REPLACE VIEW token_edges AS
SELECT src_token AS token_id, tgt_layer AS layer, tgt_neuron AS neuron, count, weight_sum
FROM pairs
WHERE src_token IS NOT NULL AND tgt_layer IS NOT NULL
ORDER BY layer, neuron, token_id;

CREATE OR REPLACE VIEW logit_edges AS
SELECT src_layer AS layer, src_neuron AS neuron, tgt_token AS token_id, count, weight_sum
FROM pairs
WHERE src_layer IS NOT NULL AND tgt_token IS NOT NULL
ORDER BY layer, neuron, token_id;

CREATE OR REPLACE VIEW tokens AS
SELECT DISTINCT token_id
FROM (
    SELECT src_token AS token_id FROM listed
    UNION ALL SELECT tgt_token FROM listed
)
WHERE token_id IS NOT NULL
ORDER BY token_id;

-- Counts come from profiles. A neuron that is only in the lists of other neurons has an unknown count (NULL).
CREATE OR REPLACE VIEW neurons AS
SELECT layer, neuron, max(appearance_count) AS appearance_count
FROM (
    FROM profiles
    UNION ALL SELECT src_layer, src_neuron, NULL FROM listed WHERE src_layer IS NOT NULL
    UNION ALL SELECT tgt_layer, tgt_neuron, NULL FROM listed WHERE tgt_layer IS NOT NULL
    UNION ALL SELECT other_layer, other_neuron, NULL FROM together
    UNION ALL SELECT layer, neuron, NULL FROM together
)
GROUP BY layer, neuron
ORDER BY layer, neuron;

-- `graphs` is NULL if the counts are not numbers of graphs.
CREATE OR REPLACE MACRO cooccurrence(graphs) AS TABLE
SELECT
    layer,
    neuron,
    row_number() OVER (PARTITION BY layer, neuron ORDER BY count DESC, b.appearance_count, other_layer, other_neuron)::INTEGER AS rank,
    other_layer,
    other_neuron,
    count AS joint_graph_count,
    lift_of(count, a.appearance_count::DOUBLE, b.appearance_count, graphs) AS lift,
    ln(lift) AS pmi,
    npmi_of(count, lift, graphs::DOUBLE) AS npmi
FROM (SELECT * EXCLUDE (count), max(count) AS count FROM together GROUP BY ALL)
LEFT JOIN neurons AS a USING (layer, neuron)
LEFT JOIN neurons AS b ON b.layer = other_layer AND b.neuron = other_neuron
ORDER BY layer, neuron, rank;
