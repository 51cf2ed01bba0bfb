-- Per graph: number of links kept by table and dropped by reason, and counts of irregular nodes.

CREATE TABLE link_counts (
    graph_id INTEGER NOT NULL,
    subject VARCHAR NOT NULL,
    kept BOOLEAN NOT NULL,
    reason VARCHAR NOT NULL,
    count BIGINT NOT NULL
);

COMMENT ON COLUMN link_counts.subject IS 'link, or node for an oddity of the node table.';
COMMENT ON COLUMN link_counts.kept IS 'Whether these links are in the table that reason names.';
COMMENT ON COLUMN link_counts.reason IS 'Table the links went to, or why they were dropped.';
COMMENT ON COLUMN link_counts.count IS 'Links (or nodes).';
