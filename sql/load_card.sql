-- Fill the data card from the tables, and from what the recipe states under [card], which the table `input.stated_card` holds.

DELETE FROM card;

INSERT INTO card
WITH facts AS (
    SELECT map(list(key), list(value)) AS fact FROM metadata
),
corpora AS (
    SELECT string_agg(coalesce(source, 'of no stated source') || ': ' || format('{:,}', graphs) || ' graphs', '; ' ORDER BY graphs DESC, source) AS text
    FROM (SELECT corpus_source AS source, count(*) AS graphs FROM graphs GROUP BY ALL)
),
labels_by_source AS (
    SELECT string_agg(coalesce(source, 'no stated source') || ': ' || format('{:,}', count), '; ' ORDER BY count DESC, source) AS text
    FROM (SELECT source, count(*) AS count FROM labels WHERE is_of_atlas GROUP BY ALL)
),
trust AS (
    SELECT
        count(*) FILTER (kind = 'cluster' AND is_primary AND is_found_again) AS clusters_again,
        count(*) FILTER (kind = 'cluster' AND is_primary AND is_found_again IS NOT NULL) AS clusters_tested,
        count(*) FILTER (kind <> 'cluster' AND is_found_again) AS anchored_again,
        count(*) FILTER (kind <> 'cluster' AND is_found_again IS NOT NULL) AS anchored_tested
    FROM circuits
),
parts(place, section, text) AS (
    SELECT 1, 'model', coalesce(fact['model'], 'not stated') || ', units: ' || coalesce(fact['unit_type'], 'not stated') || 's'
        || coalesce(' of ' || fact['transcoder_set'], '') || coalesce(', ' || fact['num_layers'] || ' layers with units', '')
    FROM facts
    UNION ALL
    SELECT 2, 'corpora', (SELECT count(*) FROM graphs)::VARCHAR || ' graphs of ' || (SELECT count(DISTINCT group_id) FROM graphs)::VARCHAR
        || ' groups of prompts' || coalesce(' (' || text || ')', '')
    FROM corpora
    UNION ALL
    SELECT 3, 'method', 'Links: ' || coalesce(fact['method'], 'not stated') || coalesce(', weight ' || fact['link_weight'], '')
        || coalesce(', rules ' || fact['rules'], '') || coalesce(', baseline ' || fact['baseline'], '')
        || '; statistics: ' || coalesce(fact['stat_quality'], 'not stated') || '; an edge has at least ' || coalesce(fact['min_edge_count'], '1') || ' links'
    FROM facts
    UNION ALL
    SELECT 4, 'contents', format('{:,} neurons, {:,} edges, {:,} labels, {:,} circuits',
        (SELECT count(*) FROM neurons), (SELECT count(*) FROM edges), (SELECT count(*) FROM labels), (SELECT count(*) FROM circuits))
    UNION ALL
    SELECT 5, 'labels', format('{:,} of {:,} neurons have one', (SELECT count(label) FROM neurons), (SELECT count(*) FROM neurons))
        || coalesce(' (' || text || ')', '') || '. A label is an interpretation, not a measurement.'
    FROM labels_by_source
    UNION ALL
    SELECT 6, 'trust', CASE
        WHEN clusters_tested + anchored_tested = 0 THEN 'No circuit was tested on other prompts.'
        ELSE format('Found again in other prompts: {} of {} clusters, {} of {} circuits of tokens.', clusters_again, clusters_tested, anchored_again, anchored_tested)
    END
    FROM trust
    UNION ALL
    SELECT 7, 'limits', 'Statistics are about these prompts, of which ' || coalesce(fact['effective_groups'], 'an unknown number of')
        || ' groups of equal size would be as good. An edge is a mean over graphs, a path of edges need not be in any graph.'
    FROM facts
    UNION ALL
    SELECT 8, 'limits', format('{:,} files could not be read.', (SELECT count(*) FROM rejects))
    WHERE EXISTS (FROM rejects)
    UNION ALL
    SELECT 10, 'licences', 'Of the model, the corpora and the labels: not stated; see their sources.'
    WHERE NOT EXISTS (FROM input.stated_card WHERE section = 'licences')
    UNION ALL
    SELECT 10 + place, section, text
    FROM input.stated_card
)
SELECT row_number() OVER (ORDER BY place)::INTEGER AS place, section, text
FROM parts
ORDER BY place;
