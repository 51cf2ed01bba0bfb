-- One row per neuron (or transcoder feature) that is in at least one graph, at any position; sorted by layer, neuron.

CREATE TABLE neurons (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    neuron_id VARCHAR GENERATED ALWAYS AS ('L' || layer || '/N' || neuron) VIRTUAL,
    unit_type VARCHAR NOT NULL,
    feature_id BIGINT,
    label VARCHAR,
    description VARCHAR,
    input_label VARCHAR,
    output_label VARCHAR,
    label_kind VARCHAR,
    label_source VARCHAR,
    label_confidence VARCHAR,
    appearance_count INTEGER,
    graph_count INTEGER GENERATED ALWAYS AS (appearance_count) VIRTUAL,
    group_count INTEGER,
    node_count INTEGER,
    bos_share FLOAT,
    is_template BOOLEAN,
    in_degree INTEGER NOT NULL,
    out_degree INTEGER NOT NULL,
    input_abs_sum FLOAT,
    output_abs_sum FLOAT,
    input_weight_norm FLOAT,
    output_weight_norm FLOAT,
    min_activation FLOAT,
    max_activation FLOAT,
    mean_activation FLOAT,
    std_activation FLOAT,
    num_exemplars INTEGER,
    mean_influence FLOAT,
    min_influence FLOAT,
    max_influence FLOAT,
    output_norm FLOAT,
    cluster_path VARCHAR,
    top_cluster INTEGER,
    sub_module INTEGER,
    subsub_module INTEGER,
    hierarchy_depth INTEGER,
    infomap_flow FLOAT,
    cluster_confidence FLOAT,
    left_out VARCHAR,
    PRIMARY KEY (layer, neuron)
);

COMMENT ON COLUMN neurons.layer IS 'Layer of the model, from 0.';
COMMENT ON COLUMN neurons.neuron IS 'Index of the neuron (or transcoder feature) within its layer, from 0.';
COMMENT ON COLUMN neurons.neuron_id IS 'The same as text, L24/N5326.';
COMMENT ON COLUMN neurons.unit_type IS 'neuron (an MLP neuron) or feature (a transcoder feature).';
COMMENT ON COLUMN neurons.feature_id IS 'layer * neurons_per_layer + neuron if an importer knows the numbering; otherwise NULL.';
COMMENT ON COLUMN neurons.label IS 'Best label by precedence (rank 1 in labels); NULL if there is none. A label is an interpretation, not a measurement.';
COMMENT ON COLUMN neurons.description IS 'Longer text that belongs to the label shown.';
COMMENT ON COLUMN neurons.input_label IS 'Best label of kind input: what activates the neuron.';
COMMENT ON COLUMN neurons.output_label IS 'Best label of kind output: the effect of the neuron.';
COMMENT ON COLUMN neurons.label_kind IS 'Kind of the label shown: output, input, activation+, activation-; NULL where its file does not say.';
COMMENT ON COLUMN neurons.label_source IS 'Where the label shown comes from.';
COMMENT ON COLUMN neurons.label_confidence IS 'Confidence of the label shown, as its source states it.';
COMMENT ON COLUMN neurons.appearance_count IS 'The same as graph_count, under its older name.';
COMMENT ON COLUMN neurons.graph_count IS 'Number of distinct graphs that contain the neuron; the denominator of edge frequency.';
COMMENT ON COLUMN neurons.group_count IS 'Number of distinct groups of prompts that contain the neuron; NULL if not counted.';
COMMENT ON COLUMN neurons.node_count IS 'Nodes: each token position of each graph counts once.';
COMMENT ON COLUMN neurons.bos_share IS 'Share of its nodes at the first token position. Near 1: a constant of every prompt that begins with the same token. NULL if positions are unknown.';
COMMENT ON COLUMN neurons.is_template IS 'Whether it is in at least 80 % of the graphs of every group of prompts with five graphs or more: it comes with the form of the prompts. NULL if no group is as large.';
COMMENT ON COLUMN neurons.in_degree IS 'Number of edges into the neuron; a pair with edges of two methods counts twice.';
COMMENT ON COLUMN neurons.out_degree IS 'Number of edges out of the neuron; a pair with edges of two methods counts twice.';
COMMENT ON COLUMN neurons.input_abs_sum IS 'Sum of |weight| of the links of all edges into it: the denominator of target_share; NULL where weights are unknown.';
COMMENT ON COLUMN neurons.output_abs_sum IS 'Sum of |weight| of the links of all edges out of it.';
COMMENT ON COLUMN neurons.input_weight_norm IS 'Square root of the sum of weight_sum squared over all edges into it: the denominator of cosines of inputs.';
COMMENT ON COLUMN neurons.output_weight_norm IS 'The same over all edges out of it.';
COMMENT ON COLUMN neurons.min_activation IS 'Smallest activation over the nodes of the graphs; neurons of an MLP act with either sign.';
COMMENT ON COLUMN neurons.max_activation IS 'Largest activation over the exemplars of the label shown if its file states it, otherwise over the nodes of the graphs.';
COMMENT ON COLUMN neurons.mean_activation IS 'Mean activation over its nodes; NULL where the graphs state none.';
COMMENT ON COLUMN neurons.std_activation IS 'Population standard deviation of the activation over its nodes.';
COMMENT ON COLUMN neurons.num_exemplars IS 'Number of exemplars that the label is based on, as stated by its file.';
COMMENT ON COLUMN neurons.mean_influence IS 'Mean influence over its nodes. RelP graphs: RelP score. Circuit-tracer graphs: cumulative pruning score, smaller is more important.';
COMMENT ON COLUMN neurons.min_influence IS 'Smallest influence over its nodes.';
COMMENT ON COLUMN neurons.max_influence IS 'Largest influence over its nodes.';
COMMENT ON COLUMN neurons.output_norm IS 'Norm of its output direction; NULL unless weights were read.';
COMMENT ON COLUMN neurons.cluster_path IS 'Cluster in the primary clustering, dotted from the top: 12, 12.3, 12.3.1. NULL where it is in none.';
COMMENT ON COLUMN neurons.top_cluster IS 'First number of cluster_path.';
COMMENT ON COLUMN neurons.sub_module IS 'Second number of cluster_path.';
COMMENT ON COLUMN neurons.subsub_module IS 'Third number of cluster_path.';
COMMENT ON COLUMN neurons.hierarchy_depth IS 'Number of levels in cluster_path.';
COMMENT ON COLUMN neurons.infomap_flow IS 'Share of the random walk that visits it, in the primary clustering; all members sum to 1.';
COMMENT ON COLUMN neurons.cluster_confidence IS 'Share of the bootstraps of the groups of prompts in which it is in the best match of its cluster: core from 0.9 on, contingent from 0.5 on, else noise.';
COMMENT ON COLUMN neurons.left_out IS 'Why it is in no cluster of the primary clustering: frequent (in more than max_graph_share of the graphs), weak (no edge reaches the thresholds), alone (a cluster of one), unreliable (in none that is found again); NULL where it is in one.';
