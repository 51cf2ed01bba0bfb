-- Replace a clustering in an atlas by that in the catalog `input`, in which it alone is, under the name that is the variable `clustering`.
-- The variable `make_primary` says whether it becomes the primary one.

DELETE FROM clusterings WHERE clustering = getvariable('clustering');
DELETE FROM cluster_members WHERE clustering = getvariable('clustering');
DELETE FROM cluster_memberships WHERE clustering = getvariable('clustering');
DELETE FROM clustering_clusters WHERE clustering = getvariable('clustering');
DELETE FROM clusters;
UPDATE clusterings SET is_primary = false WHERE getvariable('make_primary');
