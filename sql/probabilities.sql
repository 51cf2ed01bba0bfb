-- p-values and intervals of comparisons and associations, once. They are temporary macros.

-- Two-sided p-value of a standard normal deviate. erfc is a Chebyshev fit with relative error below 1.2e-7 everywhere
-- (Press et al., Numerical Recipes, section 6.2).
CREATE OR REPLACE TEMP MACRO erfc_at(x, t) AS
    t * exp(-x * x - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));
CREATE OR REPLACE TEMP MACRO normal_p(z) AS erfc_at(abs(z) / sqrt(2), 1 / (1 + abs(z) / sqrt(2) / 2));

-- Two-sided p-value of Student's t. For whole degrees of freedom up to 200 the series of Abramowitz and Stegun (26.7.3 and
-- 26.7.4) with c = cos(atan(t / sqrt(df))): one less the first terms, or where that would cancel the sum of the others,
-- as all terms add up to one. Beyond, the normal deviate with the same p-value (26.7.8).
CREATE OR REPLACE TEMP MACRO even_terms(c, first, last) AS
    coalesce(list_sum([c ** (2 * j) * exp(lgamma(j + 0.5) - lgamma(0.5) - lgamma(j + 1)) FOR j IN range(first, last)]), 0);
CREATE OR REPLACE TEMP MACRO odd_terms(c, first, last) AS
    coalesce(list_sum([c ** (2 * j) * exp(lgamma(j + 1) + lgamma(1.5) - lgamma(j + 1.5)) FOR j IN range(first, last)]), 0);
-- Terms until one is below 1e-16 of the first.
CREATE OR REPLACE TEMP MACRO enough_terms(c) AS least(ceil(37 / -ln(greatest(c ** 2, 1e-30))), 600)::BIGINT;
CREATE OR REPLACE TEMP MACRO student_series(angle, df) AS
    CASE
        WHEN cos(angle) ** 2 > 0.93 AND df % 2 = 0 THEN 1 - sin(angle) * even_terms(cos(angle), 0, df // 2)
        WHEN cos(angle) ** 2 > 0.93
            THEN 1 - 2 / pi() * (angle + sin(angle) * cos(angle) * odd_terms(cos(angle), 0, (df - 1) // 2))
        WHEN df % 2 = 0 THEN sin(angle) * even_terms(cos(angle), df // 2, df // 2 + enough_terms(cos(angle)))
        ELSE 2 / pi() * sin(angle) * cos(angle)
            * odd_terms(cos(angle), (df - 1) // 2, (df - 1) // 2 + enough_terms(cos(angle)))
    END;
CREATE OR REPLACE TEMP MACRO student_p(t, df) AS
    CASE
        WHEN df > 200 OR df <> floor(df) THEN normal_p(t * (1 - 1 / (4 * df)) / sqrt(1 + t ** 2 / (2 * df)))
        WHEN df >= 1 THEN least(greatest(student_series(atan(abs(t) / sqrt(df)), df::BIGINT), 0), 1)
    END;

-- The 97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5).
CREATE OR REPLACE TEMP MACRO t_point(df) AS 1.959964 + 2.372271 / df + 2.822549 / df ** 2 + 2.555850 / df ** 3;

-- Fisher's exact test (two-sided: all tables at most as probable as the one observed): f_small of g_small, f_large of
-- g_large. `chosen` is the logarithm of a binomial coefficient.
CREATE OR REPLACE TEMP MACRO chosen(n, k) AS lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
CREATE OR REPLACE TEMP MACRO table_probability(x, f, g_small, g_large) AS
    exp(chosen(g_small, x) + chosen(g_large, f - x) - chosen(g_small + g_large, f));
CREATE OR REPLACE TEMP MACRO fisher_of(f_small, g_small, f, g_large) AS
    list_sum([
        table_probability(x, f, g_small, g_large)
        FOR x IN range(greatest(0, f - g_large)::BIGINT, least(f, g_small)::BIGINT + 1)
        IF table_probability(x, f, g_small, g_large) <= table_probability(f_small, f, g_small, g_large) * (1 + 1e-7)
    ]);
CREATE OR REPLACE TEMP MACRO fisher_p(f_a, g_a, f_b, g_b) AS
    least(
        CASE WHEN g_a <= g_b THEN fisher_of(f_a, g_a, f_a + f_b, g_b) ELSE fisher_of(f_b, g_b, f_a + f_b, g_a) END,
        1
    );

-- Probability of at least k of n draws from a set of N with K marked ones (hypergeometric).
CREATE OR REPLACE TEMP MACRO enriched_p(k, n, marked, total) AS
    least(list_sum([table_probability(x, n, marked, total - marked) FOR x IN range(k::BIGINT, least(n, marked)::BIGINT + 1)]), 1);

-- One-sided p-value of the G-test (likelihood ratio) of more joint groups than independence gives: j of a and b among n.
CREATE OR REPLACE TEMP MACRO entropy_term(seen, expected) AS CASE WHEN seen > 0 THEN seen * ln(seen / expected) ELSE 0 END;
CREATE OR REPLACE TEMP MACRO g_squared(j, a, b, n) AS
    2 * (
        entropy_term(j, a * b / n) + entropy_term(a - j, a * (n - b) / n)
        + entropy_term(b - j, (n - a) * b / n) + entropy_term(n - a - b + j, (n - a) * (n - b) / n)
    );
CREATE OR REPLACE TEMP MACRO association_p_of(j, a, b, n) AS
    CASE
        WHEN j >= a * b / n THEN normal_p(sqrt(greatest(g_squared(j, a, b, n), 0))) / 2
        ELSE 1 - normal_p(sqrt(greatest(g_squared(j, a, b, n), 0))) / 2
    END;

-- Bounds of a proportion k / n (Wilson 1927), z = 1.96. Rounding must not leave 0 to 1; least() would turn NULL into a number.
CREATE OR REPLACE TEMP MACRO wilson_bound(k, n, side) AS
    (k + 1.9207294 + side * 1.959964 * sqrt(k * (n - k) / n + 0.9603647)) / (n + 3.8414588);
CREATE OR REPLACE TEMP MACRO wilson(k, n, side) AS
    CASE
        WHEN wilson_bound(k, n, side) > 1 THEN 1.0
        WHEN wilson_bound(k, n, side) < 0 THEN 0.0
        ELSE wilson_bound(k, n, side)
    END;

-- Two proportions of independent graphs: z needs at least five expected graphs on each side (Cochran 1954); interval of the
-- difference: Newcombe 1998, method 10.
CREATE OR REPLACE TEMP MACRO pooled(k_a, n_a, k_b, n_b) AS (k_a + k_b) / (n_a + n_b);
CREATE OR REPLACE TEMP MACRO enough(k_a, n_a, k_b, n_b) AS
    least(n_a, n_b) * least(pooled(k_a, n_a, k_b, n_b), 1 - pooled(k_a, n_a, k_b, n_b)) >= 5;
CREATE OR REPLACE TEMP MACRO independent_z(k_a, n_a, k_b, n_b) AS
    (k_a / n_a - k_b / n_b)
    / sqrt(pooled(k_a, n_a, k_b, n_b) * (1 - pooled(k_a, n_a, k_b, n_b)) * (1 / n_a + 1 / n_b));
CREATE OR REPLACE TEMP MACRO newcombe_low(k_a, n_a, k_b, n_b) AS
    k_a / n_a - k_b / n_b - sqrt((k_a / n_a - wilson(k_a, n_a, -1)) ** 2 + (wilson(k_b, n_b, 1) - k_b / n_b) ** 2);
CREATE OR REPLACE TEMP MACRO newcombe_high(k_a, n_a, k_b, n_b) AS
    k_a / n_a - k_b / n_b + sqrt((wilson(k_a, n_a, 1) - k_a / n_a) ** 2 + (k_b / n_b - wilson(k_b, n_b, -1)) ** 2);
