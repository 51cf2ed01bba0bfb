-- Counts of labels and clusters, and an empty table of circuits, before `load_circuits` fills it again.

DELETE FROM metadata WHERE key IN (SELECT key FROM input.counts);
INSERT INTO metadata FROM input.counts;
DELETE FROM circuits;
DELETE FROM circuit_members;
