-- Units that are never active, and the order of all results. Where no token was looked at, nothing is known of them.

INSERT INTO activation_stats BY NAME
WITH every AS (
    SELECT layer, unnest(range(unit_count))::INTEGER AS unit, threshold, token_count, context_count
    FROM given_units
)
SELECT
    e.*,
    0 AS active_count,
    0 AS active_context_count,
    0 AS positive_count,
    CASE WHEN e.token_count > 0 THEN 0.0 END AS density,
    density AS density_low,
    wilson(0, nullif(e.token_count, 0)::DOUBLE, 1) AS density_high,
    CASE WHEN e.token_count > 0 THEN true END AS is_dead,
    NOT is_dead AS is_dense,
    0 AS duplicate_context_count,
    density AS mean_all,
    density AS mean_sq_all
FROM every AS e
ANTI JOIN activation_stats AS s USING (layer, unit)
ANTI JOIN unknown_units AS n USING (layer, unit);

CREATE VIEW sorted_activation_stats AS FROM activation_stats ORDER BY layer, unit;
CREATE VIEW sorted_activation_histograms AS FROM activation_histograms ORDER BY layer, unit, sign, bin;
CREATE VIEW sorted_activation_tokens AS FROM activation_tokens ORDER BY layer, unit, relation, rank;
CREATE VIEW sorted_activation_examples AS FROM activation_examples ORDER BY layer, unit, stratum, rank;
CREATE VIEW sorted_coactivation AS FROM coactivation ORDER BY layer, unit, other_unit_type, rank;
CREATE VIEW sorted_token_stats AS FROM token_stats ORDER BY token_id;
