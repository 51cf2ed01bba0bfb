-- Number of links kept, by table, and dropped, by reason, over all files.
-- Example: FROM link_accounting;
CREATE VIEW link_accounting AS
SELECT
    kept,
    reason,
    sum(count)::BIGINT AS link_count,
    count(DISTINCT graph_id) AS graph_count,
    (sum(count) / (SELECT sum(link_count) FROM graphs))::FLOAT AS link_share
FROM link_counts
WHERE subject = 'link'
GROUP BY kept, reason
ORDER BY kept DESC, link_count DESC, reason;
COMMENT ON COLUMN link_accounting.link_count IS 'Links, over all graphs.';
COMMENT ON COLUMN link_accounting.graph_count IS 'Distinct graphs with such a link.';
COMMENT ON COLUMN link_accounting.link_share IS 'Share of all links in the files.';
