-- Neurons by number of edges, with the share of graphs that contain them. Template neurons and hubs come first.
-- Example: FROM hubs LIMIT 20;
CREATE VIEW hubs AS
SELECT
    layer,
    neuron,
    label,
    in_degree,
    out_degree,
    in_degree + out_degree AS degree,
    graph_count,
    (graph_count / nullif((SELECT coalesce(nullif(count(*), 0), (SELECT value::BIGINT FROM metadata WHERE key = 'graphs_stated')) FROM graphs), 0))::FLOAT AS graph_share,
    top_cluster
FROM neurons
ORDER BY degree DESC, layer, neuron;
COMMENT ON COLUMN hubs.degree IS 'Distinct edges in either direction.';
COMMENT ON COLUMN hubs.graph_share IS 'Share of all graphs in which the neuron is a node.';
