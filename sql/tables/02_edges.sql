-- Edges between neurons, aggregated over all graphs; sorted by source. Filter on src_layer and src_neuron here.

CREATE TABLE edges (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    group_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    sign_cancellation FLOAT,
    mean_abs_weight FLOAT GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::FLOAT) VIRTUAL,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    half_count INTEGER,
    half_mean_weight FLOAT,
    joint_graph_count INTEGER,
    lift FLOAT,
    npmi FLOAT,
    conditional_frequency FLOAT GENERATED ALWAYS AS (graph_count / nullif(joint_graph_count, 0)) VIRTUAL,
    mean_weight_all FLOAT GENERATED ALWAYS AS (mean_weight * count / nullif(joint_graph_count, 0)) VIRTUAL,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL,
    in_circuit BOOLEAN NOT NULL,
    method VARCHAR NOT NULL,
    stat_quality VARCHAR NOT NULL
);

COMMENT ON COLUMN edges.src_layer IS 'Layer of the source (upstream) neuron.';
COMMENT ON COLUMN edges.src_neuron IS 'Index of the source neuron within its layer.';
COMMENT ON COLUMN edges.tgt_layer IS 'Layer of the target (downstream) neuron.';
COMMENT ON COLUMN edges.tgt_neuron IS 'Index of the target neuron within its layer.';
COMMENT ON COLUMN edges.count IS 'Number of links observed; each token position of a graph counts separately.';
COMMENT ON COLUMN edges.graph_count IS 'Distinct graphs with at least one such link.';
COMMENT ON COLUMN edges.group_count IS 'Distinct groups of prompts with at least one such link; graphs of one group are no independent evidence. NULL if not counted.';
COMMENT ON COLUMN edges.positive_count IS 'Links with weight > 0.';
COMMENT ON COLUMN edges.mean_weight IS 'Signed mean of the link weights.';
COMMENT ON COLUMN edges.sign_cancellation IS 'mean_abs_weight - |mean_weight|. It is 0 if all links have the same sign, so it is stored instead of mean_abs_weight.';
COMMENT ON COLUMN edges.mean_abs_weight IS 'Mean of the absolute link weights.';
COMMENT ON COLUMN edges.std_weight IS 'Population standard deviation of the link weights; 0 for a single link.';
COMMENT ON COLUMN edges.weight_min IS 'Smallest link weight.';
COMMENT ON COLUMN edges.weight_max IS 'Largest link weight.';
COMMENT ON COLUMN edges.half_count IS 'Number of links in the groups of the first half (even graphs.split_bucket); the other links are in the second half.';
COMMENT ON COLUMN edges.half_mean_weight IS 'Signed mean of the link weights in the first half of the groups; NULL where it has none.';
COMMENT ON COLUMN edges.joint_graph_count IS 'Number of distinct graphs that contain both neurons, linked or not; NULL if not counted.';
COMMENT ON COLUMN edges.lift IS 'Co-occurrence relative to chance: joint_graph_count * graphs / (graphs of one * graphs of the other); 1 is chance.';
COMMENT ON COLUMN edges.npmi IS 'Normalised pointwise mutual information of being in one graph, -1 to 1, 0 is chance; NULL where both are in every graph.';
COMMENT ON COLUMN edges.conditional_frequency IS 'graph_count / joint_graph_count: share of the graphs with both neurons in which they are linked. Where links are not pruned (metadata.links_pruned), it is near 1 and says that the two co-occur.';
COMMENT ON COLUMN edges.mean_weight_all IS 'weight_sum / joint_graph_count: mean weight per graph that contains both ends, a missing edge counted as 0.';
COMMENT ON COLUMN edges.weight_sum IS 'Sum of link weights, computed as mean_weight * count.';
COMMENT ON COLUMN edges.weight_abs_sum IS 'Sum of absolute link weights, computed as mean_abs_weight * count.';
COMMENT ON COLUMN edges.weight_sq_sum IS 'Sum of squared link weights, computed from std_weight, mean_weight and count.';
COMMENT ON COLUMN edges.in_circuit IS 'Whether both ends are in the same top cluster of the primary clustering.';
COMMENT ON COLUMN edges.method IS 'How the weights were computed: relp, transcoder or weight_graph.';
COMMENT ON COLUMN edges.stat_quality IS 'exact; rounded if an earlier tool stored sums as 32-bit numbers; mean_only if a file states only link count and mean (deviation and extremes are NULL).';
