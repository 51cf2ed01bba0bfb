-- Groups of prompts, largest first, with the rule that made them and a sample prompt.
--
-- $limit BIGINT: at most this many rows
SELECT *
FROM prompt_groups
ORDER BY graph_count DESC, group_id
LIMIT $limit
