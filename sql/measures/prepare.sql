-- Tables of the statistics of a store: contexts, how often every token was looked at, and the results.
-- Before: views `given_contexts`, `given_units`, and the table `settings`.

CREATE TABLE contexts AS
SELECT context_id, token_ids
FROM given_contexts;

-- Cells that are looked at, with the tokens there, before and behind; or, of one value per context, its different tokens.
CREATE VIEW places AS
SELECT
    'same' AS relation,
    context_id,
    position,
    token_ids[position + 1] AS token_id,
    CASE WHEN position > 0 THEN token_ids[position] END AS previous_id,
    token_ids[position + 2] AS next_id
FROM (SELECT context_id, token_ids, unnest(range(len(token_ids))) AS position FROM contexts), settings
WHERE
    NOT settings.is_whole
    AND position >= settings.first_position
    AND NOT list_contains(settings.skipped, token_ids[position + 1])
UNION ALL
SELECT 'in', context_id, -1, unnest(list_distinct(token_ids)), NULL, NULL
FROM contexts, settings
WHERE settings.is_whole;

CREATE TABLE token_totals AS
SELECT relation, token_id, count(*) AS token_count
FROM (
    SELECT relation, token_id FROM places
    UNION ALL SELECT 'previous', previous_id FROM places WHERE previous_id IS NOT NULL
    UNION ALL SELECT 'next', next_id FROM places WHERE next_id IS NOT NULL
)
GROUP BY relation, token_id;

-- Inverse document frequency over contexts, as ln((1 + contexts) / (1 + contexts with the token)).
CREATE TABLE token_stats AS
SELECT
    token_id,
    count(*) AS token_count,
    count(DISTINCT context_id) AS context_count,
    ln((1 + (SELECT count(*) FROM contexts)) / (1 + count(DISTINCT context_id))) AS idf
FROM places
GROUP BY token_id;

-- A few places of every token, and of any token, one per context, by a fixed shuffle: candidates for examples without activation.
CREATE TABLE candidates AS
WITH shuffled AS (
    SELECT
        *,
        hash(context_id, position, (SELECT seed FROM settings)) AS shuffle
    FROM places
),
one_per_context AS (
    SELECT token_id, context_id, arg_min(position, (shuffle, position)) AS position, min(shuffle) AS shuffle
    FROM shuffled
    GROUP BY token_id, context_id
)
SELECT token_id, context_id, position, shuffle
FROM one_per_context
QUALIFY row_number() OVER (PARTITION BY token_id ORDER BY shuffle, context_id) <= 64;

CREATE TABLE any_candidates AS
SELECT context_id, arg_min(position, (shuffle, position)) AS position, min(shuffle) AS shuffle
FROM candidates
GROUP BY context_id
QUALIFY row_number() OVER (ORDER BY min(shuffle), context_id) <= 64;

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
    mean_all DOUBLE,
    mean_sq_all DOUBLE,
    token_entropy DOUBLE,
    is_single_token BOOLEAN,
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
    precision_low DOUBLE,
    precision_high DOUBLE,
    lift DOUBLE,
    mean_active DOUBLE,
    mass_share DOUBLE,
    tfidf DOUBLE
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
