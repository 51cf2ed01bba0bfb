-- Counts of labels and clusters, and an empty table of circuits, before `load_circuits` fills it again.

DELETE FROM metadata WHERE key IN (SELECT key FROM input.counts);
INSERT INTO metadata FROM input.counts;
DELETE FROM circuits;
DELETE FROM circuit_members;

-- What the recipe has stated in the data card stays.
CREATE TABLE input.stated_card AS
SELECT place, section, text
FROM card
WHERE section NOT IN ('model', 'corpora', 'method', 'contents', 'labels', 'trust', 'limits')
    AND NOT starts_with(text, 'Of the model, the corpora and the labels: not stated');
