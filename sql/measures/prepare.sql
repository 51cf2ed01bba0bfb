-- Tables of the statistics of a store: contexts, how often every token was looked at, and the results.
-- Before: views `given_contexts`, `given_units`, and the table `settings`.

CREATE TABLE contexts AS
SELECT context_id, token_ids
FROM given_contexts;

-- Cells that are looked at, with the tokens there, before and behind.
CREATE TABLE token_totals AS
WITH places AS (
    SELECT token_ids, unnest(range(len(token_ids))) AS position
    FROM contexts
),
cells AS (
    SELECT
        token_ids[position + 1] AS token_id,
        CASE WHEN position > 0 THEN token_ids[position] END AS previous_id,
        token_ids[position + 2] AS next_id
    FROM places, settings
    WHERE position >= settings.first_position AND NOT list_contains(settings.skipped, token_ids[position + 1])
)
SELECT relation, token_id, count(*) AS token_count
FROM (
    SELECT 'same' AS relation, token_id FROM cells
    UNION ALL SELECT 'previous', previous_id FROM cells WHERE previous_id IS NOT NULL
    UNION ALL SELECT 'next', next_id FROM cells WHERE next_id IS NOT NULL
)
GROUP BY relation, token_id;

CREATE TABLE activation_stats (
    layer INTEGER,
    unit INTEGER,
    threshold DOUBLE,
    token_count BIGINT,
    context_count BIGINT,
    active_count BIGINT,
    active_context_count BIGINT,
    positive_count BIGINT,
    density DOUBLE,
    density_low DOUBLE,
    density_high DOUBLE,
    is_dead BOOLEAN,
    is_dense BOOLEAN,
    mean_active DOUBLE,
    std_active DOUBLE,
    min_active DOUBLE,
    max_active DOUBLE,
    quantiles DOUBLE[],
    duplicate_context_count BIGINT
);
CREATE TABLE activation_histograms (
    layer INTEGER, unit INTEGER, sign INTEGER, bin INTEGER, low DOUBLE, high DOUBLE, count BIGINT
);
CREATE TABLE activation_tokens (
    layer INTEGER,
    unit INTEGER,
    relation VARCHAR,
    rank INTEGER,
    token_id BIGINT,
    active_count BIGINT,
    token_count BIGINT,
    recall DOUBLE,
    precision DOUBLE,
    lift DOUBLE,
    mean_active DOUBLE,
    mass_share DOUBLE
);
CREATE TABLE activation_examples (
    layer INTEGER,
    unit INTEGER,
    stratum VARCHAR,
    rank INTEGER,
    context_id INTEGER,
    position INTEGER,
    value DOUBLE,
    weight DOUBLE
);
