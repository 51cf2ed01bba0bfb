-- Members of a circuit by role and rank, with how surely each is one.
--
-- $circuit VARCHAR required: 12 for a top cluster, 12.3 for a cluster inside it, input:276 for the circuit of a token
-- $clustering VARCHAR: the clustering that the path is of; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT
    n.neuron_id,
    m.layer,
    m.neuron,
    n.label,
    m.role,
    m.step,
    m.rank,
    m.weight,
    m.confidence
FROM circuit_members AS m
JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
WHERE m.circuit_id = circuit_named(coalesce($clustering || '/', '') || $circuit)
ORDER BY m.role, m.rank, m.weight DESC NULLS LAST, m.layer, m.neuron
LIMIT $limit
