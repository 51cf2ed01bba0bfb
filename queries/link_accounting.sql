-- Number of links kept, by table, and dropped, by reason, over all graph files.
SELECT
    kept,
    reason,
    link_count,
    graph_count,
    link_share
FROM link_accounting
ORDER BY kept DESC, link_count DESC, reason
