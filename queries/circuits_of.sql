-- Circuits that a neuron is in, of every clustering and of tokens, with how surely it is a member and whether the circuit is found again.
--
-- $layer INTEGER required: layer of the neuron
-- $neuron INTEGER required: neuron in its layer
-- $limit BIGINT: at most this many rows
SELECT
    m.circuit_id,
    c.kind,
    coalesce(c.anchor, c.terms) AS name,
    c.size,
    m.role,
    m.confidence,
    c.is_found_again,
    c.half_agreement,
    c.null_p
FROM circuit_members AS m
JOIN circuits AS c USING (circuit_id)
WHERE m.layer = $layer AND m.neuron = $neuron
ORDER BY c.is_primary DESC NULLS LAST, c.kind, c.level, coalesce(c.is_found_again, false) DESC, c.size, m.circuit_id
LIMIT $limit
