-- Replace a clustering in an atlas by that in the catalog `input`, in which it alone is, under the name that is the variable `clustering`.
-- The variable `make_primary` says whether it becomes the primary one.

-- Effects belong to the members that were cut: they stay where the clusters are the same ones.
CREATE TABLE input.changed AS
SELECT EXISTS (
    (
        SELECT layer, neuron, cluster_path FROM cluster_members WHERE clustering = getvariable('clustering')
        EXCEPT
        SELECT layer, neuron, cluster_path FROM input.members
    )
    UNION ALL
    (
        SELECT layer, neuron, cluster_path FROM input.members
        EXCEPT
        SELECT layer, neuron, cluster_path FROM cluster_members WHERE clustering = getvariable('clustering')
    )
) AS is_changed;
CREATE TABLE input.effects_before AS SELECT count(*) AS effect_count FROM circuit_effects;
CREATE TABLE input.kept_effects AS
SELECT
    e.* REPLACE (
        CASE
            WHEN e.clustering IS NULL THEN e.circuit_id
            WHEN e.clustering = getvariable('clustering') AND NOT c.is_primary AND getvariable('make_primary') THEN e.circuit_id[length(e.clustering) + 2:]
            WHEN e.clustering <> getvariable('clustering') AND c.is_primary AND getvariable('make_primary') THEN e.clustering || '/' || e.circuit_id
            ELSE e.circuit_id
        END AS circuit_id
    )
FROM circuit_effects AS e
LEFT JOIN clusterings AS c USING (clustering)
WHERE e.clustering IS DISTINCT FROM getvariable('clustering') OR NOT (SELECT is_changed FROM input.changed);
DELETE FROM circuit_effects;
INSERT INTO circuit_effects FROM input.kept_effects;

DELETE FROM clusterings WHERE clustering = getvariable('clustering');
DELETE FROM cluster_members WHERE clustering = getvariable('clustering');
DELETE FROM resolutions WHERE clustering = getvariable('clustering');
DELETE FROM cluster_memberships WHERE clustering = getvariable('clustering');
DELETE FROM clustering_clusters WHERE clustering = getvariable('clustering');
DELETE FROM clusters;
UPDATE clusterings SET is_primary = false WHERE getvariable('make_primary');
