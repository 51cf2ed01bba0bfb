-- Replace a clustering in an atlas by that in the catalog `input`, in which it alone is, under the name that is the variable `clustering`.
-- The variable `make_primary` says whether it becomes the primary one.

DELETE FROM clusterings WHERE clustering = getvariable('clustering');
DELETE FROM cluster_members WHERE clustering = getvariable('clustering');
DELETE FROM resolutions WHERE clustering = getvariable('clustering');
DELETE FROM cluster_memberships WHERE clustering = getvariable('clustering');
DELETE FROM clustering_clusters WHERE clustering = getvariable('clustering');
DELETE FROM clusters;
-- Effects are of the clustering that is replaced; of others, the ids follow the primary one.
CREATE TABLE input.kept_effects AS
SELECT
    e.* REPLACE (
        CASE
            WHEN e.clustering IS NULL THEN e.circuit_id
            WHEN c.is_primary AND getvariable('make_primary') THEN e.clustering || '/' || e.circuit_id
            ELSE e.circuit_id
        END AS circuit_id
    )
FROM circuit_effects AS e
LEFT JOIN clusterings AS c USING (clustering)
WHERE e.clustering IS NULL OR c.clustering IS NOT NULL;
DELETE FROM circuit_effects;
INSERT INTO circuit_effects FROM input.kept_effects;
UPDATE clusterings SET is_primary = false WHERE getvariable('make_primary');
