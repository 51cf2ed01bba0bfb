-- Neurons and features that are active on a token, those that are so most reliably and most exclusively first.
--
-- $token VARCHAR required: text of the token; without spaces around it, tokens with them are found, too
-- $limit BIGINT: at most this many rows
SELECT *
FROM fires_on($token)
ORDER BY coalesce(precision, 1) * recall DESC, unit_type, layer, unit, token
LIMIT $limit
