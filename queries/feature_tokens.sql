-- Tokens that the decoder of a feature promotes or suppresses.
--
-- $layer INTEGER required: layer of the feature
-- $unit INTEGER required: number of the feature
-- $limit BIGINT: at most this many rows
SELECT
    projection_kind,
    direction,
    rank,
    token_id,
    token,
    weight,
    centred_weight
FROM feature_tokens
WHERE layer = $layer AND unit = $unit
ORDER BY projection_kind DESC, direction, rank
LIMIT $limit
