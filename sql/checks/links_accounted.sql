-- Graphs in which kept and dropped links do not add up to the links of the file.
SELECT
    g.graph_id,
    g.path,
    g.link_count,
    g.kept_count,
    g.dropped_count,
    coalesce(sum(c.count) FILTER (c.kept), 0) AS kept_counted,
    coalesce(sum(c.count) FILTER (NOT c.kept), 0) AS dropped_counted
FROM graphs AS g
LEFT JOIN link_counts AS c ON c.graph_id = g.graph_id AND c.subject = 'link'
-- Legacy files list graphs without link counts. The counts are NULL, so there is no sum to check.
GROUP BY ALL
HAVING g.link_count <> g.kept_count + g.dropped_count
    OR g.kept_count <> kept_counted
    OR g.dropped_count <> dropped_counted
ORDER BY ALL;
