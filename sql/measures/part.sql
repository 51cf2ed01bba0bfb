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
        list_slice(peak.token_ids, greatest(peak.position - 4, 1), peak.position + 1) AS shingle
    FROM places
)
SELECT
    * EXCLUDE (shingle),
    row_number() OVER (PARTITION BY layer, unit, shingle ORDER BY abs(value) DESC, context_id) AS copy
FROM named;

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
        quantile_disc(value, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999]) AS quantiles
    FROM cells
    GROUP BY layer, unit
),
copies AS (
    SELECT layer, unit, count(*) FILTER (copy > 1) AS duplicate_context_count
    FROM peaks
    GROUP BY layer, unit
)
SELECT
    m.*,
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
JOIN copies AS c USING (layer, unit);

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
WITH seen AS (
    SELECT layer, unit, 'same' AS relation, token_id, value FROM cells
    UNION ALL SELECT layer, unit, 'previous', previous_id, value FROM cells WHERE previous_id IS NOT NULL
    UNION ALL SELECT layer, unit, 'next', next_id, value FROM cells WHERE next_id IS NOT NULL
),
counted AS (
    SELECT layer, unit, relation, token_id, count(*) AS active_count, sum(abs(value)) AS mass, avg(value) AS mean_active
    FROM seen
    GROUP BY layer, unit, relation, token_id
),
ranked AS (
    SELECT
        *,
        active_count / sum(active_count) OVER units AS recall,
        mass / sum(mass) OVER units AS mass_share,
        row_number() OVER (units ORDER BY mass DESC, token_id) AS rank
    FROM counted
    WINDOW units AS (PARTITION BY layer, unit, relation)
)
SELECT
    r.* EXCLUDE (mass),
    t.token_count,
    r.active_count / t.token_count AS precision,
    r.active_count / t.token_count / s.density AS lift
FROM ranked AS r
JOIN token_totals AS t USING (relation, token_id)
JOIN activation_stats AS s USING (layer, unit)
WHERE r.rank <= (SELECT top_tokens FROM settings);

-- Examples: the strongest contexts, and a few of each quarter of the active contexts by a fixed shuffle.
INSERT INTO activation_examples BY NAME
WITH distinct_peaks AS (
    SELECT
        * EXCLUDE (copy),
        row_number() OVER (PARTITION BY layer, unit ORDER BY abs(value) DESC, context_id) AS place,
        ntile(4) OVER (PARTITION BY layer, unit ORDER BY abs(value) DESC, context_id) AS quarter,
        ((context_id::BIGINT * 1_103_515_245 + unit * 12_345 + layer * 97 + (SELECT seed FROM settings)) % 2_147_483_647)
        * 48_271 % 2_147_483_647 AS shuffle
    FROM peaks
    WHERE copy = 1
),
drawn AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY layer, unit, quarter ORDER BY shuffle, context_id) AS draw,
        count(*) OVER (PARTITION BY layer, unit, quarter) AS quarter_size
    FROM distinct_peaks
)
SELECT layer, unit, 'top' AS stratum, place AS rank, context_id, position, value, NULL AS weight
FROM distinct_peaks
WHERE place <= (SELECT top_examples FROM settings)
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
WHERE draw <= (SELECT drawn_examples FROM settings);
