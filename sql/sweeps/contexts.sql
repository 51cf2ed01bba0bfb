-- One row per context, also of those without activation: the strongest activation of the unit, and what the sweep groups by.
-- Before: views given_contexts, given_cells (of the unit), tables first_family and second_family (token_id), variable attribute.
CREATE TABLE sweep_rows AS
WITH peaks AS (
    SELECT context_id, arg_max(value, (abs(value), -position)) AS value
    FROM given_cells
    GROUP BY context_id
),
counted AS (
    SELECT
        context_id,
        count(*) FILTER (token_id IN (SELECT token_id FROM first_family)) AS first_count,
        count(*) FILTER (token_id IN (SELECT token_id FROM second_family)) AS second_count
    FROM (SELECT context_id, unnest(token_ids) AS token_id FROM given_contexts)
    GROUP BY context_id
),
facts AS (
    SELECT
        context_id,
        CASE getvariable('attribute')
            WHEN 'document' THEN document
            WHEN 'source' THEN source
            WHEN 'split' THEN split
            ELSE attributes[getvariable('attribute')]
        END AS attribute
    FROM given_contexts
)
SELECT
    f.attribute,
    coalesce(c.first_count, 0) AS first_count,
    coalesce(c.second_count, 0) AS second_count,
    CASE WHEN getvariable('attribute') IS NULL THEN coalesce(c.first_count, 0) ELSE 0 END AS place,
    coalesce(p.value, 0)::DOUBLE AS value,
    p.value IS NOT NULL AS is_active
FROM facts AS f
LEFT JOIN counted AS c USING (context_id)
LEFT JOIN peaks AS p USING (context_id);
