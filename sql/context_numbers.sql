-- Numbers in the atlas of the contexts of a store: those that an earlier store gave, then new ones.
SELECT
    mine.context_id,
    coalesce(
        earlier.context_id,
        (SELECT count(*) FROM input.contexts)
        + row_number() OVER (PARTITION BY earlier.context_id IS NULL ORDER BY mine.context_id)
        - 1
    )::INTEGER AS number,
    earlier.context_id IS NULL AS is_new
FROM input.their_contexts AS mine
LEFT JOIN input.contexts AS earlier ON earlier.content_hash = mine.content_hash
