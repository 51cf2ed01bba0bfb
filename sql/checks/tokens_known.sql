-- Tokens of token_edges, logit_edges and token_logit_edges without a row in tokens.
SELECT
    used.token_id,
    used.table_name
FROM (
    SELECT DISTINCT token_id, 'token_edges' AS table_name FROM token_edges
    UNION ALL SELECT DISTINCT token_id, 'logit_edges' FROM logit_edges
    UNION ALL SELECT DISTINCT src_token_id, 'token_logit_edges' FROM token_logit_edges
    UNION ALL SELECT DISTINCT tgt_token_id, 'token_logit_edges' FROM token_logit_edges
) AS used
LEFT JOIN tokens AS t USING (token_id)
WHERE t.token_id IS NULL
ORDER BY ALL;
