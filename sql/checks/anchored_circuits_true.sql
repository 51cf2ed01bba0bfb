-- Anchored circuits whose sizes are not the numbers of their members, members of no circuit, of no neuron, or listed twice, and
-- effects of unknown circuits.
WITH counted AS (
    SELECT
        m.circuit_id,
        count(*) AS member_count,
        count(*) FILTER (m.step = 0) AS anchored_count,
        count(DISTINCT (m.layer, m.neuron)) AS neuron_count,
        count(n.layer) AS known_count
    FROM anchored_members AS m
    LEFT JOIN neurons AS n ON n.layer = m.layer AND n.neuron = m.neuron
    GROUP BY m.circuit_id
)
SELECT circuit_id, c.size, c.anchored_count, m.member_count, m.neuron_count, m.known_count
FROM anchored_circuits AS c
FULL JOIN counted AS m USING (circuit_id)
WHERE (c.size, c.anchored_count) IS DISTINCT FROM (m.member_count, m.anchored_count)
    OR m.neuron_count <> m.member_count
    OR m.known_count <> m.member_count
UNION ALL
SELECT circuit_id, tested_count, NULL, NULL, NULL, NULL
FROM circuit_effects
ANTI JOIN circuits USING (circuit_id)
ORDER BY ALL;
