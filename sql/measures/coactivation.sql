-- Units that are active on the same tokens. `given_activations` holds all activations, or none where pairs are too many.

CREATE TABLE coactivation AS
WITH pairs AS (
    SELECT
        a.layer,
        a.unit,
        b.layer AS other_layer,
        b.unit AS other_unit,
        count(*) AS joint_count,
        sum(a.value::DOUBLE * b.value) AS product
    FROM given_activations AS a
    JOIN given_activations AS b USING (context_id, position)
    WHERE (a.layer, a.unit) <> (b.layer, b.unit)
    GROUP BY ALL
    HAVING count(*) >= (SELECT least_joint FROM settings)
),
norms AS (
    SELECT layer, unit, sum(value::DOUBLE ** 2) AS square_sum
    FROM given_activations
    GROUP BY layer, unit
),
measured AS (
    SELECT
        p.layer,
        p.unit,
        p.other_layer,
        p.other_unit,
        p.joint_count,
        s.active_count,
        o.active_count AS other_count,
        p.joint_count / (s.active_count + o.active_count - p.joint_count) AS jaccard,
        p.product / sqrt(n.square_sum * m.square_sum) AS cosine,
        log2(s.token_count * p.joint_count::DOUBLE / (s.active_count::DOUBLE * o.active_count)) AS pmi,
        association_p_of(p.joint_count, s.active_count::DOUBLE, o.active_count::DOUBLE, s.token_count::DOUBLE) AS association_p
    FROM pairs AS p
    JOIN activation_stats AS s ON s.layer = p.layer AND s.unit = p.unit
    JOIN activation_stats AS o ON o.layer = p.other_layer AND o.unit = p.other_unit
    JOIN norms AS n ON n.layer = p.layer AND n.unit = p.unit
    JOIN norms AS m ON m.layer = p.other_layer AND m.unit = p.other_unit
)
SELECT
    * EXCLUDE (place),
    place::INTEGER AS rank
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY layer, unit ORDER BY jaccard DESC, other_layer, other_unit) AS place
    FROM measured
)
WHERE place <= (SELECT top_partners FROM settings);
