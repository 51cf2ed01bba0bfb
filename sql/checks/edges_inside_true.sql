-- edges_inside holds the edges with in_circuit, and no others.
SELECT *
FROM (
    SELECT
        (SELECT count(*) FROM edges WHERE in_circuit) AS marked_edges,
        (SELECT count(*) FROM edges_inside) AS copied_edges,
        (
            SELECT count(*)
            FROM edges_inside AS e
            LEFT JOIN neurons AS s ON s.layer = e.src_layer AND s.neuron = e.src_neuron
            LEFT JOIN neurons AS t ON t.layer = e.tgt_layer AND t.neuron = e.tgt_neuron
            WHERE s.top_cluster IS DISTINCT FROM e.top_cluster OR t.top_cluster IS DISTINCT FROM e.top_cluster
        ) AS edges_of_others
)
WHERE marked_edges <> copied_edges OR edges_of_others > 0
