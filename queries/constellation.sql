-- Neurons on a map, the most frequent first: each top cluster is a disc, near those it drives and is driven by, with its most frequent neurons inside;
-- neurons without a cluster lie around. A neuron has the same place whatever the limit.
--
-- $limit BIGINT: at most this many neurons; 50,000 where left out
WITH chosen AS (
    SELECT
        neuron_id,
        layer,
        neuron,
        label,
        graph_count,
        top_cluster,
        row_number() OVER (PARTITION BY top_cluster ORDER BY graph_count DESC NULLS LAST, layer, neuron) - 0.5 AS seed
    FROM (FROM neurons ORDER BY graph_count DESC NULLS LAST, layer, neuron LIMIT coalesce($limit, 50_000))
),
-- Where no places were laid out: seeds of a sunflower lie a golden angle apart, at radii that grow with the root of the area (Vogel 1979).
sunflower AS (
    SELECT
        top_cluster,
        half_agreement,
        size,
        1.3 * sqrt(sum(size) OVER ranking - size / 2) AS distance,
        radians(137.50776) * row_number() OVER ranking AS angle
    FROM clusters
    WHERE level = 1
    WINDOW ranking AS (ORDER BY size DESC, top_cluster ROWS UNBOUNDED PRECEDING)
),
discs AS (
    SELECT
        top_cluster,
        half_agreement,
        size,
        coalesce(m.x, distance * cos(angle)) AS middle_x,
        coalesce(m.y, distance * sin(angle)) AS middle_y
    FROM sunflower
    LEFT JOIN map_discs AS m USING (top_cluster)
),
placed AS (
    SELECT
        c.*,
        d.half_agreement,
        coalesce(d.middle_x, 0) AS middle_x,
        coalesce(d.middle_y, 0) AS middle_y,
        CASE
            WHEN d.size IS NULL THEN sqrt(1.1 * coalesce((SELECT max(sqrt(middle_x ** 2 + middle_y ** 2) + sqrt(size)) FROM discs), 0) ** 2 + 1.5 * c.seed)
            ELSE 0.85 * sqrt(c.seed)
        END AS radius
    FROM chosen AS c
    LEFT JOIN discs AS d USING (top_cluster)
)
SELECT
    neuron_id,
    layer,
    label,
    graph_count,
    top_cluster,
    half_agreement,
    (middle_x + radius * cos(radians(137.50776) * seed))::FLOAT AS x,
    (middle_y + radius * sin(radians(137.50776) * seed))::FLOAT AS y
FROM placed
ORDER BY graph_count DESC NULLS LAST, layer, neuron
