-- Circuits of a clustering that contain neurons of the atlas, preferred sizes first, of them those that are found again, then by flow.
--
-- $min_size INTEGER: prefer circuits of at least this many neurons
-- $max_size INTEGER: prefer circuits of at most this many neurons
-- $clustering VARCHAR: a clustering; the primary one where left out
-- $limit BIGINT: at most this many rows
SELECT
    circuit_id,
    cluster_path,
    level,
    size,
    flow
FROM circuits AS c
WHERE kind = 'cluster'
    AND (CASE WHEN $clustering IS NULL THEN is_primary ELSE clustering = $clustering END)
    AND EXISTS (
        FROM circuit_members AS m
        JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
        WHERE m.circuit_id = c.circuit_id
    )
ORDER BY size BETWEEN coalesce($min_size, 0) AND coalesce($max_size, 2147483647) DESC, coalesce(is_found_again, false) DESC,
    half_agreement DESC NULLS LAST, flow DESC NULLS LAST, circuit_id
LIMIT $limit
