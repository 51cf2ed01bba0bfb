-- What became of every link in the graph files: kept in which table, or dropped for which reason.
SELECT
    kept,
    reason,
    link_count,
    graph_count,
    link_share
FROM link_accounting
ORDER BY kept DESC, link_count DESC, reason
