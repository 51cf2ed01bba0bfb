-- One row per place with a token of the family that was looked at: the activation of the unit there, 0 where it is not active.
-- Before: views given_contexts, given_cells (of the unit), given_vocabulary, tables first_family and settings.
CREATE TABLE sweep_rows AS
WITH places AS (
    SELECT context_id, token_ids, unnest(range(len(token_ids))) AS position
    FROM given_contexts
),
mine AS (
    SELECT context_id, position, token_ids[position + 1] AS token_id
    FROM places, settings
    WHERE
        position >= first_position
        AND NOT list_contains(skipped, token_ids[position + 1])
        AND token_ids[position + 1] IN (SELECT token_id FROM first_family)
)
SELECT
    coalesce(v.token, m.token_id::VARCHAR) AS attribute,
    0 AS first_count,
    0 AS second_count,
    0 AS place,
    coalesce(a.value, 0)::DOUBLE AS value,
    a.value IS NOT NULL AS is_active
FROM mine AS m
LEFT JOIN given_cells AS a USING (context_id, position)
LEFT JOIN given_vocabulary AS v USING (token_id);
