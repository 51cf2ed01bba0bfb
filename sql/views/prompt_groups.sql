-- Groups of prompts, largest first: how many graphs are one observation rather than many.
-- Example: FROM prompt_groups;
CREATE VIEW prompt_groups AS
SELECT
    group_id,
    prompt_group,
    any_value(group_rule) AS group_rule,
    count(*)::INTEGER AS graph_count,
    (count(*) / sum(count(*)) OVER ())::FLOAT AS share,
    min(prompt) AS example
FROM graphs
WHERE group_id IS NOT NULL
GROUP BY group_id, prompt_group
ORDER BY graph_count DESC, group_id;
COMMENT ON COLUMN prompt_groups.graph_count IS 'Graphs of the group.';
COMMENT ON COLUMN prompt_groups.share IS 'Share of the graphs of the atlas.';
COMMENT ON COLUMN prompt_groups.example IS 'One of its prompts.';
