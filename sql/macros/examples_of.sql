-- Contexts in which a unit is active, by stratum, with the words before and behind.
-- Example: FROM examples_of({layer}, {neuron}) LIMIT 10;
CREATE MACRO examples_of(of_layer, of_unit, of_type := NULL) AS TABLE
WITH mine AS (
    SELECT e.*, c.document, c.token_ids
    FROM activation_examples AS e
    JOIN contexts AS c USING (context_id)
    WHERE
        e.layer = of_layer
        AND e.unit = of_unit
        AND e.unit_type = coalesce(of_type, (SELECT value FROM metadata WHERE key = 'activation_unit_type'))
),
places AS (
    SELECT
        stratum,
        rank,
        unnest(
            CASE
                WHEN position < 0 THEN range(least(len(token_ids), 40))
                ELSE range(greatest(position - 10, 0), least(position + 5, len(token_ids)))
            END
        ) AS place,
        position,
        token_ids
    FROM mine
),
texts AS (
    SELECT
        stratum,
        rank,
        string_agg(v.token, '' ORDER BY place) FILTER (place < position) AS before,
        any_value(v.token) FILTER (place = position) AS token,
        string_agg(v.token, '' ORDER BY place) FILTER (place > position) AS behind
    FROM places
    LEFT JOIN vocabulary AS v ON v.token_id = token_ids[place + 1]
    GROUP BY stratum, rank
)
SELECT
    m.stratum,
    m.rank,
    m.value,
    t.token,
    t.before,
    t.behind,
    m.document,
    m.context_id,
    m.position,
    m.weight
FROM mine AS m
LEFT JOIN texts AS t USING (stratum, rank)
ORDER BY stratum = 'top' DESC, stratum, rank;
