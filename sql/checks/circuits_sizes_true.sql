-- Circuits whose sizes are not the numbers of their members, and members of no circuit or listed twice.
-- An imported clustering can hold neurons that are in no graph.
WITH counted AS (
    SELECT circuit_id, count(*) AS member_count, count(DISTINCT (layer, neuron)) AS neuron_count
    FROM circuit_members
    GROUP BY circuit_id
)
SELECT circuit_id, c.size, m.member_count, m.neuron_count
FROM circuits AS c
FULL JOIN counted AS m USING (circuit_id)
WHERE c.size IS DISTINCT FROM m.member_count OR m.neuron_count <> m.member_count
ORDER BY ALL;
