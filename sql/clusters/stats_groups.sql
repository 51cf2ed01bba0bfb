-- Edges by group of prompts, of a stats folder: the view `edges_by_group`.
-- Before: the view `given_edge_groups`.
CREATE VIEW edges_by_group AS
FROM given_edge_groups
