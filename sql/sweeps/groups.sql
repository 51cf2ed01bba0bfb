-- Means by group with 95 % intervals: of the share of active rows (Wilson), of the mean over all rows (normal), and of the difference to
-- the first group (Welch).
-- Before: table sweep_rows, variables first_column and second_column.
WITH grouped AS (
    SELECT
        CASE getvariable('first_column') WHEN 'attribute' THEN attribute ELSE first_count::VARCHAR END AS first_group,
        CASE WHEN getvariable('second_column') = 'second_count' THEN second_count::VARCHAR END AS second_group,
        min(place) AS first_place,
        any_value(second_count) AS second_place,
        count(*) AS row_count,
        count(*) FILTER (is_active) AS active_count,
        avg(value) AS mean,
        coalesce(var_samp(value), 0) / count(*) AS mean_variance,
        avg(value) FILTER (is_active) AS mean_active
    FROM sweep_rows
    GROUP BY ALL
),
placed AS (
    SELECT
        *,
        first_value(mean) OVER ordered AS reference,
        first_value(mean_variance) OVER ordered AS reference_variance,
        row_number() OVER ordered AS place
    FROM grouped
    WINDOW ordered AS (
        ORDER BY first_place, second_place, CASE WHEN getvariable('first_column') = 'attribute' THEN first_group END NULLS FIRST
    )
)
SELECT
    first_group,
    second_group,
    row_count,
    active_count,
    active_count / row_count AS active_share,
    greatest(wilson(active_count, row_count::DOUBLE, -1), 0) AS active_share_low,
    wilson(active_count, row_count::DOUBLE, 1) AS active_share_high,
    mean,
    CASE WHEN row_count > 1 THEN mean - 1.96 * sqrt(mean_variance) END AS mean_low,
    CASE WHEN row_count > 1 THEN mean + 1.96 * sqrt(mean_variance) END AS mean_high,
    mean_active,
    mean - reference AS difference,
    CASE WHEN place > 1 AND row_count > 1 THEN difference - 1.96 * sqrt(mean_variance + reference_variance) END AS difference_low,
    CASE WHEN place > 1 AND row_count > 1 THEN difference + 1.96 * sqrt(mean_variance + reference_variance) END AS difference_high
FROM placed
ORDER BY place;
