-- Formulas of edge statistics. They are temporary macros, because an atlas stores the computed values.

-- Standard deviation of `n` values with this sum and sum of squares; 0 for one value.
CREATE OR REPLACE TEMP MACRO deviation_of(n, total, total_sq) AS
    CASE
        WHEN total_sq IS NULL THEN NULL
        WHEN n < 2 THEN 0
        -- Equal values leave the rounding of the two sums, which differs by processor.
        WHEN total_sq / n - (total / n) ** 2 < 1e-14 * total_sq / n THEN 0
        ELSE sqrt(total_sq / n - (total / n) ** 2)
    END;

-- Number of graphs that two neurons share, divided by the number expected by chance.
CREATE OR REPLACE TEMP MACRO lift_of(joint, graphs_a, graphs_b, graphs) AS joint * graphs / (graphs_a * graphs_b);

-- Normalized pointwise mutual information (Bouma, 2009), from -1 to 1; NULL where the two are in every graph.
CREATE OR REPLACE TEMP MACRO npmi_of(joint, lift, graphs) AS ln(lift) / nullif(-ln(joint / graphs), 0);
