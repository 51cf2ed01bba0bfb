-- Statistics of the units of one part of a store, which holds all activations of each of its units: view `given_part`.

CREATE OR REPLACE TEMP TABLE cells AS
SELECT
    a.layer,
    a.unit,
    a.context_id,
    a.position,
    a.value::DOUBLE AS value,
    c.token_ids,
    c.token_ids[a.position + 1] AS token_id,
    CASE WHEN a.position > 0 THEN c.token_ids[a.position] END AS previous_id,
    c.token_ids[a.position + 2] AS next_id
FROM given_part AS a
JOIN contexts AS c USING (context_id);

-- The strongest place of every context, and how the tokens up to it repeat those of a stronger context.
CREATE OR REPLACE TEMP TABLE peaks AS
WITH places AS (
    SELECT
        layer,
        unit,
        context_id,
        arg_max({position: position, value: value, token_ids: token_ids}, (abs(value), -position)) AS peak
    FROM cells
    GROUP BY layer, unit, context_id
),
named AS (
    SELECT
        layer,
        unit,
        context_id,
        peak.position AS position,
        peak.value AS value,
        peak.token_ids[peak.position + 1] AS token_id,
        CASE
            WHEN len(peak.token_ids) = 0 THEN [context_id]
            WHEN peak.position < 0 THEN peak.token_ids
            ELSE list_slice(peak.token_ids, greatest(peak.position - 4, 1), peak.position + 1)
        END AS shingle
    FROM places
)
SELECT
    n.* EXCLUDE (shingle),
    n.position = 0 OR coalesce(v.is_special, false) AS is_special,
    row_number() OVER (PARTITION BY layer, unit, shingle ORDER BY abs(value) DESC, context_id) AS copy
FROM named AS n
LEFT JOIN given_vocabulary AS v ON v.token_id = n.token_id;

CREATE OR REPLACE TEMP TABLE token_counts AS
WITH seen AS (
    SELECT layer, unit, 'same' AS relation, token_id, value FROM cells WHERE position >= 0
    UNION ALL SELECT layer, unit, 'in', unnest(list_distinct(token_ids)), value FROM cells WHERE position < 0
    UNION ALL SELECT layer, unit, 'previous', previous_id, value FROM cells WHERE previous_id IS NOT NULL
    UNION ALL SELECT layer, unit, 'next', next_id, value FROM cells WHERE next_id IS NOT NULL
),
counted AS (
    SELECT layer, unit, relation, token_id, count(*) AS active_count, sum(abs(value)) AS mass, avg(value) AS mean_active
    FROM seen
    GROUP BY layer, unit, relation, token_id
),
sizes AS (
    SELECT layer, unit, count(*) AS cell_count, sum(abs(value)) AS mass
    FROM cells
    GROUP BY layer, unit
)
SELECT
    c.*,
    -- A context has several tokens, but one value.
    active_count / CASE WHEN relation = 'in' THEN s.cell_count ELSE sum(active_count) OVER units END AS recall,
    c.mass / CASE WHEN relation = 'in' THEN s.mass ELSE sum(c.mass) OVER units END AS mass_share,
    row_number() OVER (units ORDER BY c.mass DESC, token_id) AS rank
FROM counted AS c
JOIN sizes AS s USING (layer, unit)
WINDOW units AS (PARTITION BY layer, unit, relation);

INSERT INTO activation_stats BY NAME
WITH measured AS (
    SELECT
        layer,
        unit,
        count(*) AS active_count,
        count(DISTINCT context_id) AS active_context_count,
        count(*) FILTER (value > 0) AS positive_count,
        avg(value) AS mean_active,
        stddev_samp(value) AS std_active,
        min(value) AS min_active,
        max(value) AS max_active,
        sum(value) AS value_sum,
        sum(value ** 2) AS value_sq_sum,
        quantile_disc(value, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999]) AS quantiles
    FROM cells
    GROUP BY layer, unit
),
copies AS (
    SELECT layer, unit, count(*) FILTER (copy > 1) AS duplicate_context_count
    FROM peaks
    GROUP BY layer, unit
),
variety AS (
    SELECT
        layer,
        unit,
        abs(sum(recall * log2(recall)) FILTER (relation = 'same')) AS token_entropy,
        bool_or(c.mass_share >= 0.9 AND c.active_count / t.token_count >= 0.5) AS is_single_token
    FROM token_counts AS c
    JOIN token_totals AS t USING (relation, token_id)
    WHERE relation IN ('same', 'in')
    GROUP BY layer, unit
)
SELECT
    m.* EXCLUDE (value_sum, value_sq_sum),
    m.value_sum / u.token_count AS mean_all,
    m.value_sq_sum / u.token_count AS mean_sq_all,
    v.token_entropy,
    CASE WHEN u.token_count IS NOT NULL THEN v.is_single_token END AS is_single_token,
    u.threshold,
    u.token_count,
    u.context_count,
    m.active_count / u.token_count AS density,
    wilson(m.active_count, u.token_count::DOUBLE, -1) AS density_low,
    wilson(m.active_count, u.token_count::DOUBLE, 1) AS density_high,
    false AS is_dead,
    m.active_count / u.token_count > 0.1 AS is_dense,
    c.duplicate_context_count
FROM measured AS m
JOIN given_units AS u USING (layer)
JOIN copies AS c USING (layer, unit)
-- Contexts may have no tokens, as those of some imported files.
LEFT JOIN variety AS v USING (layer, unit);

-- Two bins per power of two, on either side of zero.
INSERT INTO activation_histograms BY NAME
SELECT
    layer,
    unit,
    sign(value)::INTEGER AS sign,
    floor(2 * log2(abs(value)))::INTEGER AS bin,
    pow(2, bin / 2) AS low,
    pow(2, (bin + 1) / 2) AS high,
    count(*) AS count
FROM cells
WHERE value <> 0
GROUP BY ALL;

INSERT INTO activation_tokens BY NAME
SELECT
    r.* EXCLUDE (mass),
    CASE WHEN s.token_count IS NOT NULL THEN t.token_count END AS token_count,
    r.active_count / CASE WHEN s.token_count IS NOT NULL THEN t.token_count END AS precision,
    CASE WHEN s.token_count IS NOT NULL THEN wilson(r.active_count, t.token_count::DOUBLE, -1) END AS precision_low,
    CASE WHEN s.token_count IS NOT NULL THEN wilson(r.active_count, t.token_count::DOUBLE, 1) END AS precision_high,
    precision / s.density AS lift,
    CASE WHEN relation IN ('same', 'in') AND s.token_count IS NOT NULL THEN r.mass_share * i.idf END AS tfidf
FROM token_counts AS r
JOIN token_totals AS t USING (relation, token_id)
JOIN activation_stats AS s USING (layer, unit)
LEFT JOIN token_stats AS i USING (token_id)
WHERE r.rank <= (SELECT top_tokens FROM settings);

-- The strongest contexts of every unit whose tokens are not near those of a stronger one: the Jaccard index of their runs of three
-- tokens, among the ten up to the peak, is below 0.6. Three times as many as are kept are looked at.
CREATE OR REPLACE TEMP TABLE top_peaks AS
WITH strongest AS (
    SELECT layer, unit, context_id, position, row_number() OVER (PARTITION BY layer, unit ORDER BY abs(value) DESC, context_id) AS place
    FROM peaks
    WHERE copy = 1 AND NOT is_special
    QUALIFY place <= 3 * (SELECT top_examples FROM settings)
),
words AS (
    SELECT
        s.layer,
        s.unit,
        s.place,
        s.context_id,
        CASE
            WHEN s.position < 0 THEN c.token_ids
            ELSE list_slice(c.token_ids, greatest(s.position - 8, 1), s.position + 1)
        END AS tokens
    FROM strongest AS s
    JOIN contexts AS c USING (context_id)
),
runs AS (
    SELECT
        layer,
        unit,
        place,
        context_id,
        CASE
            WHEN len(tokens) = 0 THEN [[context_id]]
            WHEN len(tokens) < 3 THEN [tokens]
            ELSE list_distinct(list_transform(range(1, len(tokens) - 1), lambda i: list_slice(tokens, i, i + 2)))
        END AS shingles
    FROM words
)
SELECT
    layer,
    unit,
    context_id,
    row_number() OVER (PARTITION BY layer, unit ORDER BY place) AS place
FROM runs AS r
WHERE NOT EXISTS (
    FROM runs AS s
    WHERE s.layer = r.layer
        AND s.unit = r.unit
        AND s.place < r.place
        AND len(list_intersect(s.shingles, r.shingles)) >= 0.6 * len(list_distinct(s.shingles || r.shingles))
);

-- Examples: the strongest contexts, a few of each quarter of the active contexts by a fixed shuffle, peaks on special tokens apart,
-- and places without activation: of any token, and of the token that the unit fires on most.
INSERT INTO activation_examples BY NAME
WITH distinct_peaks AS (
    SELECT
        * EXCLUDE (copy),
        row_number() OVER units AS place,
        ntile(4) OVER units AS quarter,
        ((context_id::BIGINT * 1_103_515_245 + unit::BIGINT * 12_345 + layer * 97 + (SELECT seed FROM settings)) % 2_147_483_647)
        * 48_271 % 2_147_483_647 AS shuffle
    FROM peaks
    WHERE copy = 1
    WINDOW units AS (PARTITION BY layer, unit, is_special ORDER BY abs(value) DESC, context_id)
),
drawn AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY layer, unit, quarter ORDER BY shuffle, context_id) AS draw,
        count(*) OVER (PARTITION BY layer, unit, quarter) AS quarter_size
    FROM distinct_peaks
    WHERE NOT is_special
),
-- Places where a unit could have been active: of any token in a context without it, and of its first token.
silent AS (
    SELECT u.layer, u.unit, 'inactive' AS stratum, c.context_id, c.position, c.shuffle
    FROM (SELECT DISTINCT layer, unit FROM peaks) AS u, any_candidates AS c
    ANTI JOIN peaks AS p ON p.layer = u.layer AND p.unit = u.unit AND p.context_id = c.context_id
    UNION ALL
    SELECT t.layer, t.unit, 'same token', c.context_id, c.position, c.shuffle
    FROM token_counts AS t
    JOIN candidates AS c USING (token_id)
    ANTI JOIN cells AS a
        ON a.layer = t.layer
        AND a.unit = t.unit
        AND a.context_id = c.context_id
        AND a.position = c.position
    WHERE t.relation IN ('same', 'in') AND t.rank = 1
),
chosen_silent AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY layer, unit, stratum ORDER BY hash(shuffle, unit), context_id) AS place
    FROM silent
)
SELECT layer, unit, 'special' AS stratum, place AS rank, context_id, position, value, NULL AS weight
FROM distinct_peaks
WHERE is_special AND place <= 3
UNION ALL
SELECT layer, unit, 'top', t.place, context_id, p.position, p.value, NULL
FROM top_peaks AS t
JOIN peaks AS p USING (layer, unit, context_id)
WHERE t.place <= (SELECT top_examples FROM settings)
UNION ALL
SELECT
    layer,
    unit,
    'quarter ' || quarter,
    draw,
    context_id,
    position,
    value,
    quarter_size / least(quarter_size, (SELECT drawn_examples FROM settings))
FROM drawn
WHERE draw <= (SELECT drawn_examples FROM settings)
UNION ALL
SELECT layer, unit, stratum, place, context_id, position, NULL, NULL
FROM chosen_silent
-- Where it is not known on which tokens a unit is not active, there are no such examples.
WHERE place <= (SELECT drawn_examples FROM settings) AND (SELECT is_counted FROM settings);
