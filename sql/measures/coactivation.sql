-- Units that are active on the same tokens. `given_activations` holds all activations, or none where pairs are too many;
-- `given_partners` the same with their unit type, and those of a store beside it.

CREATE TABLE coactivation AS
WITH pairs AS (
    SELECT
        a.layer,
        a.unit,
        b.unit_type AS other_unit_type,
        b.layer AS other_layer,
        b.unit AS other_unit,
        count(*) AS joint_count,
        sum(a.value::DOUBLE * b.value) AS product
    FROM given_activations AS a
    JOIN given_partners AS b USING (context_id, position)
    WHERE (SELECT unit_type FROM settings) <> b.unit_type OR (a.layer, a.unit) <> (b.layer, b.unit)
    GROUP BY ALL
    HAVING count(*) >= (SELECT least_joint FROM settings)
),
partners AS (
    SELECT unit_type, layer, unit, count(*) AS active_count, sum(value::DOUBLE) AS value_sum, sum(value::DOUBLE ** 2) AS square_sum
    FROM given_partners
    GROUP BY unit_type, layer, unit
),
measured AS (
    SELECT
        p.layer,
        p.unit,
        p.other_unit_type,
        p.other_layer,
        p.other_unit,
        p.joint_count,
        s.active_count,
        o.active_count AS other_count,
        p.joint_count / (s.active_count + o.active_count - p.joint_count) AS jaccard,
        p.product / sqrt(n.square_sum * o.square_sum) AS cosine,
        -- Over all tokens: 0 where a unit is not active.
        (s.token_count * p.product - n.value_sum * o.value_sum)
        / nullif(
            sqrt(
                (s.token_count * n.square_sum - n.value_sum ** 2) * (s.token_count * o.square_sum - o.value_sum ** 2)
            ),
            0
        ) AS pearson,
        log2(s.token_count * p.joint_count::DOUBLE / (s.active_count::DOUBLE * o.active_count)) AS pmi,
        pmi / nullif(-log2(p.joint_count / s.token_count), 0) AS npmi,
        association_p_of(p.joint_count, s.active_count::DOUBLE, o.active_count::DOUBLE, s.token_count::DOUBLE) AS association_p
    FROM pairs AS p
    JOIN activation_stats AS s USING (layer, unit)
    JOIN partners AS n ON n.unit_type = (SELECT unit_type FROM settings) AND n.layer = p.layer AND n.unit = p.unit
    JOIN partners AS o ON o.unit_type = p.other_unit_type AND o.layer = p.other_layer AND o.unit = p.other_unit
)
SELECT
    * EXCLUDE (place),
    place::INTEGER AS rank
FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY layer, unit, other_unit_type
            ORDER BY jaccard DESC, other_layer, other_unit
        ) AS place
    FROM measured
)
WHERE place <= (SELECT top_partners FROM settings);
