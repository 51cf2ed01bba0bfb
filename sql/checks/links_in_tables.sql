-- Link tables whose counts do not add up to the kept links in link_counts.
WITH booked AS (
    SELECT reason AS table_name, sum(count) AS link_count
    FROM link_counts
    WHERE kept AND subject = 'link'
    GROUP BY reason
),
found(table_name, link_count) AS (
    SELECT 'edges', coalesce(sum(count), 0) FROM edges
    UNION ALL SELECT 'token_edges', coalesce(sum(count), 0) FROM token_edges
    UNION ALL SELECT 'logit_edges', coalesce(sum(count), 0) FROM logit_edges
    UNION ALL SELECT 'token_logit_edges', coalesce(sum(count), 0) FROM token_logit_edges
    UNION ALL SELECT 'error_mass', coalesce(sum(count), 0) FROM error_mass
    UNION ALL SELECT 'logit_error_mass', coalesce(sum(count), 0) FROM logit_error_mass
)
SELECT
    table_name,
    coalesce(booked.link_count, 0) AS links_booked,
    found.link_count AS links_found
FROM found
LEFT JOIN booked USING (table_name)
WHERE EXISTS (FROM link_counts)
    -- With a threshold on edges, rare edges are excluded on purpose.
    AND (table_name <> 'edges' OR (SELECT value FROM metadata WHERE key = 'min_edge_count') = '1')
    AND coalesce(booked.link_count, 0) <> found.link_count
ORDER BY ALL;
