-- Circuits whose name, anchor or sample labels have all words, those with most of them in the name first, then those that are found again.
--
-- $words VARCHAR required: what to look for, in any case and order
-- $limit BIGINT: at most this many rows
WITH texts AS (
    SELECT
        *,
        lower(concat_ws(' ', anchor, terms)) AS name_text,
        lower(concat_ws(' ', anchor, terms, array_to_string(sample_labels, ' '))) AS text,
        list_filter(string_split(lower($words), ' '), lambda word: word <> '') AS wanted
    FROM circuits
)
SELECT
    circuit_id,
    kind,
    coalesce(anchor, terms) AS name,
    size,
    graph_count,
    is_found_again,
    sample_labels
FROM texts
WHERE len(wanted) > 0 AND len(list_filter(wanted, lambda word: contains(text, word))) = len(wanted)
ORDER BY len(list_filter(wanted, lambda word: contains(name_text, word))) DESC, coalesce(is_found_again, false) DESC, size DESC, circuit_id
LIMIT $limit
