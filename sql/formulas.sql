-- The formulas of edge statistics, once. They are temporary macros: an atlas stores the values.

-- Standard deviation of `n` values with this sum and sum of squares; 0 for one value.
CREATE OR REPLACE TEMP MACRO deviation_of(n, total, total_sq) AS
    CASE
        WHEN total_sq IS NULL THEN NULL
        WHEN n < 2 THEN 0
        ELSE sqrt(greatest(total_sq / n - (total / n) ** 2, 0))
    END;

-- How often two neurons share a graph, over how often they would by chance.
CREATE OR REPLACE TEMP MACRO lift_of(joint, graphs_a, graphs_b, graphs) AS joint * graphs / (graphs_a * graphs_b);

-- Normalized pointwise mutual information (Bouma, 2009), from -1 to 1; NULL where the two are in every graph.
CREATE OR REPLACE TEMP MACRO npmi_of(joint, lift, graphs) AS ln(lift) / nullif(-ln(joint / graphs), 0);
