-- Activations of one unit without their contexts, which take most of the time.
SELECT a.value AS activation
FROM activations AS a
WHERE
    a.layer = $layer
    AND a.unit = $unit
    AND a.unit_type = $unit_type
    AND ($share >= 1 OR hash(a.context_id, a.position) < $share * 18_446_744_073_709_551_615)
ORDER BY CASE WHEN $strongest THEN -a.value END, a.context_id, a.position
LIMIT $limit
