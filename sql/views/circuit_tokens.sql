-- Tokens that fire the neurons of each circuit: the mean over members of the share of a token in a member's activation.
-- Example: FROM circuit_tokens WHERE cluster_path = '1' LIMIT 10;
CREATE VIEW circuit_tokens AS
WITH members AS (
    SELECT
        unnest([
            array_to_string(string_split(cluster_path, '.')[1:level], '.')
            FOR level IN range(1, len(string_split(cluster_path, '.')) + 1)
        ]) AS cluster_path,
        unit_type,
        layer,
        neuron
    FROM neurons
    WHERE cluster_path IS NOT NULL
),
sizes AS (
    SELECT cluster_path, count(*) AS size
    FROM members
    GROUP BY cluster_path
)
SELECT
    m.cluster_path,
    t.token_id,
    any_value(t.token) AS token,
    count(*) AS neuron_count,
    any_value(s.size) AS size,
    (sum(t.mass_share) / any_value(s.size))::FLOAT AS mean_mass_share,
    (sum(t.precision * t.mass_share) / sum(t.mass_share))::FLOAT AS mean_precision
FROM members AS m
JOIN sizes AS s USING (cluster_path)
JOIN activation_tokens AS t
    ON t.unit_type = m.unit_type
    AND t.layer = m.layer
    AND t.unit = m.neuron
    AND t.relation = 'same'
GROUP BY m.cluster_path, t.token_id
ORDER BY m.cluster_path, mean_mass_share DESC, t.token_id;
COMMENT ON COLUMN circuit_tokens.cluster_path IS 'Circuit at any level.';
COMMENT ON COLUMN circuit_tokens.token IS 'Text of the token.';
COMMENT ON COLUMN circuit_tokens.neuron_count IS 'Members that have the token among their first ones.';
COMMENT ON COLUMN circuit_tokens.size IS 'Members of the circuit.';
COMMENT ON COLUMN circuit_tokens.mean_mass_share IS 'Mean over all members of the share of their activation on this token; members without it count as 0.';
COMMENT ON COLUMN circuit_tokens.mean_precision IS 'Mean over these members, by mass_share, of how often the token fires them.';
