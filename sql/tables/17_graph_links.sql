-- Links of every graph between two of its nodes. Empty if the graphs are beside the atlas.

CREATE TABLE graph_links (
    graph_id INTEGER NOT NULL,
    source INTEGER NOT NULL,
    target INTEGER NOT NULL,
    weight FLOAT NOT NULL
);

COMMENT ON COLUMN graph_links.source IS 'Node number (graph_nodes.node) at the start of the link.';
COMMENT ON COLUMN graph_links.target IS 'Node number at the end of the link.';
COMMENT ON COLUMN graph_links.weight IS 'Weight of the link; metadata.link_weight says what it measures.';
