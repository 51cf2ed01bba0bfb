-- Graphs of the atlas with their prompts and link counts.
--
-- $limit BIGINT: at most this many rows
SELECT
    graph_id,
    path,
    prompt,
    prompt_group,
    neuron_count,
    link_count,
    kept_count,
    dropped_count
FROM graphs
ORDER BY graph_id
LIMIT $limit
