-- Members of a cluster of the primary clustering, given by its cluster_path (12, 12.3, ...), by flow.
-- Example: FROM circuit('{cluster_path}');
CREATE MACRO circuit(path) AS TABLE
SELECT
    n.layer,
    n.neuron,
    n.label,
    n.cluster_path,
    n.infomap_flow,
    n.appearance_count,
    n.max_activation,
    n.in_degree,
    n.out_degree
FROM neurons AS n
WHERE n.cluster_path = path::VARCHAR OR starts_with(n.cluster_path, path::VARCHAR || '.')
ORDER BY infomap_flow DESC, layer, neuron;
