-- Activations of one unit as the earlier activation server gave them: `ability_input_tokens` are the tokens of the context, and
-- `weapon_id` is an attribute that only contexts of that tool have. A share of them is the same one each time.
SELECT
    a.value AS activation,
    try_cast(coalesce(c.attributes['weapon_id'], c.attributes['weapon_id_token']) AS BIGINT) AS weapon_id,
    c.token_ids::BIGINT[] AS ability_input_tokens
FROM activations AS a
JOIN contexts AS c USING (context_id)
WHERE
    a.layer = $layer
    AND a.unit = $unit
    AND a.unit_type = $unit_type
    AND ($share >= 1 OR hash(a.context_id, a.position) < $share * 18_446_744_073_709_551_615)
ORDER BY CASE WHEN $strongest THEN -a.value END, a.context_id, a.position
LIMIT $limit
