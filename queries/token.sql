-- Tokens by their text: in how many graphs they are an input or a traced output, how many neurons they drive and are driven by, and their circuits.
-- Text without spaces around it also finds tokens with them.
--
-- $token VARCHAR required: text of the token
WITH named AS (
    SELECT t.token_id, coalesce(v.token, t.token) AS token, t.input_graph_count, t.output_graph_count, t.probability_max
    FROM tokens AS t
    LEFT JOIN vocabulary AS v USING (token_id)
    WHERE $token IN (t.token, trim(t.token), v.token, trim(v.token))
)
SELECT
    n.token_id,
    n.token,
    n.input_graph_count,
    n.output_graph_count,
    n.probability_max,
    (SELECT count(*) FROM token_edges AS e WHERE e.token_id = n.token_id) AS driven_count,
    (SELECT count(*) FROM logit_edges AS e WHERE e.token_id = n.token_id) AS driving_count,
    (
        SELECT list(a.circuit_id ORDER BY a.circuit_id)
        FROM anchored_circuits AS a
        WHERE list_contains(a.token_ids, n.token_id)
    ) AS circuits
FROM named AS n
ORDER BY n.input_graph_count + n.output_graph_count DESC NULLS LAST, n.token_id
