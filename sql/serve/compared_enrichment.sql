-- Layers, circuits and labels of which more neurons differ than of all.
FROM enrichment
ORDER BY p_value, kind, name
