-- Tokens whose text holds some letters, those of most graphs first: equal text, then equal but for spaces, beginnings and other parts.
--
-- $words VARCHAR required: what to look for, in any case
-- $limit BIGINT: at most this many rows
SELECT
    t.token_id,
    coalesce(v.token, t.token) AS token,
    t.input_graph_count,
    t.output_graph_count,
    CASE
        WHEN coalesce(v.token, t.token) = $words THEN 1
        WHEN lower(trim(coalesce(v.token, t.token))) = lower(trim($words)) THEN 2
        WHEN starts_with(lower(trim(coalesce(v.token, t.token))), lower(trim($words))) THEN 3
        ELSE 4
    END AS match_rank
FROM tokens AS t
LEFT JOIN vocabulary AS v USING (token_id)
WHERE contains(lower(coalesce(v.token, t.token)), lower(trim($words)))
ORDER BY match_rank, t.input_graph_count + t.output_graph_count DESC NULLS LAST, t.token_id
LIMIT $limit
