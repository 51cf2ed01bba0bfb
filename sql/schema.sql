-- The tables of a circuit atlas.
-- A column that has no COMMENT here takes the one of the same-named column that comes first in this
-- file: one word has one meaning in every table and view.

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
    node_count INTEGER,
    in_degree INTEGER NOT NULL,
    out_degree INTEGER NOT NULL,
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
    PRIMARY KEY (layer, neuron)
);
COMMENT ON TABLE neurons IS 'One row per neuron (or transcoder feature) that is a node of at least one graph, position-free; sorted by layer, neuron.';

CREATE TABLE edges (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
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
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL,
    in_circuit BOOLEAN NOT NULL,
    method VARCHAR NOT NULL,
    stat_quality VARCHAR NOT NULL
);
COMMENT ON TABLE edges IS 'Neuron -> neuron, aggregated over all graphs; sorted by source. Filter on src_layer and src_neuron here.';

CREATE TABLE edges_by_target (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
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
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS ((abs(mean_weight) + sign_cancellation)::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL,
    in_circuit BOOLEAN NOT NULL,
    method VARCHAR NOT NULL,
    stat_quality VARCHAR NOT NULL
);
COMMENT ON TABLE edges_by_target IS 'The same rows as edges, sorted by target. Filter on tgt_layer and tgt_neuron here.';

CREATE TABLE cooccurrence (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    other_layer INTEGER NOT NULL,
    other_neuron INTEGER NOT NULL,
    joint_graph_count INTEGER NOT NULL,
    lift FLOAT,
    pmi FLOAT,
    npmi FLOAT
);
COMMENT ON TABLE cooccurrence IS 'Per neuron, the neurons that share most graphs with it, linked or not; sorted by neuron. Order by npmi to see what goes with this one rather than with every one.';

CREATE TABLE edge_samples (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    mean_weight FLOAT NOT NULL
);
COMMENT ON TABLE edge_samples IS 'A random sample of the edges (all, where there are few) in sixteen buckets of graphs by hash; behind the view reliability.';

CREATE TABLE connections (
    src_layer INTEGER NOT NULL,
    src_neuron INTEGER NOT NULL,
    tgt_layer INTEGER NOT NULL,
    tgt_neuron INTEGER NOT NULL,
    c_up FLOAT,
    c_gate FLOAT,
    strength FLOAT NOT NULL,
    polarity VARCHAR NOT NULL,
    confidence FLOAT,
    upstream_rank INTEGER,
    downstream_rank INTEGER,
    listed_by VARCHAR GENERATED ALWAYS AS (
        CASE WHEN upstream_rank IS NULL THEN 'source' WHEN downstream_rank IS NULL THEN 'target' ELSE 'both' END
    ) VIRTUAL
);
COMMENT ON TABLE connections IS 'Neuron -> neuron by the weights alone, the strongest of each neuron (what a pair could do where the target works in its usual regime); sorted by source, empty unless weights were wired.';

CREATE TABLE clusters (
    cluster_path VARCHAR NOT NULL,
    level INTEGER NOT NULL,
    top_cluster INTEGER NOT NULL,
    sub_module INTEGER,
    subsub_module INTEGER,
    parent_path VARCHAR,
    size INTEGER NOT NULL,
    layer_min INTEGER NOT NULL,
    layer_max INTEGER NOT NULL,
    median_layer FLOAT NOT NULL,
    flow FLOAT,
    name VARCHAR
);
COMMENT ON TABLE clusters IS 'The clusters of the primary clustering at every level; every prefix of a cluster_path is a cluster.';

CREATE TABLE clusterings (
    clustering VARCHAR NOT NULL,
    is_primary BOOLEAN NOT NULL,
    method VARCHAR NOT NULL,
    options VARCHAR NOT NULL,
    seed BIGINT,
    trial_count INTEGER,
    codelength DOUBLE,
    one_level_codelength DOUBLE,
    quality DOUBLE,
    edge_count BIGINT,
    neuron_count BIGINT,
    cluster_count BIGINT,
    top_cluster_count BIGINT,
    max_level INTEGER,
    PRIMARY KEY (clustering)
);
COMMENT ON TABLE clusterings IS 'One row per clustering: method, options, seed, and how good it is.';

CREATE TABLE cluster_members (
    clustering VARCHAR NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    cluster_path VARCHAR NOT NULL,
    top_cluster INTEGER NOT NULL,
    sub_module INTEGER,
    subsub_module INTEGER,
    hierarchy_depth INTEGER NOT NULL,
    flow FLOAT
);
COMMENT ON TABLE cluster_members IS 'Every neuron of every clustering with its cluster.';

CREATE TABLE clustering_clusters (
    clustering VARCHAR NOT NULL,
    cluster_path VARCHAR NOT NULL,
    level INTEGER NOT NULL,
    top_cluster INTEGER NOT NULL,
    sub_module INTEGER,
    subsub_module INTEGER,
    parent_path VARCHAR,
    size INTEGER NOT NULL,
    layer_min INTEGER NOT NULL,
    layer_max INTEGER NOT NULL,
    median_layer FLOAT NOT NULL,
    flow FLOAT,
    name VARCHAR
);
COMMENT ON TABLE clustering_clusters IS 'The clusters of every clustering, side by side.';

CREATE TABLE labels (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    rank INTEGER,
    kind VARCHAR,
    text VARCHAR,
    description VARCHAR,
    source VARCHAR,
    model VARCHAR,
    confidence VARCHAR,
    interpretability VARCHAR,
    type VARCHAR,
    score DOUBLE,
    num_exemplars INTEGER,
    max_activation FLOAT,
    is_uninformative BOOLEAN NOT NULL,
    in_atlas BOOLEAN NOT NULL,
    file VARCHAR NOT NULL,
    sources VARCHAR[],
    subject_model VARCHAR,
    dictionary VARCHAR,
    is_of_atlas BOOLEAN NOT NULL
);
COMMENT ON TABLE labels IS 'Every label of every neuron that any label file states, also of neurons that are in no graph.';

CREATE TABLE graphs (
    graph_id INTEGER NOT NULL,
    path VARCHAR NOT NULL,
    slug VARCHAR,
    prompt VARCHAR,
    prompt_tokens VARCHAR[],
    corpus_source VARCHAR,
    corpus_index BIGINT,
    dialect VARCHAR,
    nodes_exceeded BOOLEAN,
    node_count INTEGER,
    neuron_count INTEGER,
    link_count INTEGER,
    kept_count INTEGER,
    dropped_count INTEGER,
    self_loop_count INTEGER,
    backward_count INTEGER,
    size_bytes BIGINT,
    content_hash VARCHAR,
    original_token_count INTEGER,
    PRIMARY KEY (graph_id)
);
COMMENT ON TABLE graphs IS 'One attribution graph per row: prompt, size, and how many of its links were kept.';

CREATE TABLE neuron_graphs (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    graph_id INTEGER NOT NULL,
    node_count INTEGER,
    positions INTEGER[],
    activation_min FLOAT,
    activation_max FLOAT,
    influence_min FLOAT,
    influence_max FLOAT
);
COMMENT ON TABLE neuron_graphs IS 'Which neuron is a node of which graph, and where; sorted by neuron.';

CREATE TABLE tokens (
    token_id BIGINT NOT NULL,
    token VARCHAR,
    input_graph_count INTEGER,
    output_graph_count INTEGER,
    probability_max FLOAT,
    PRIMARY KEY (token_id)
);
COMMENT ON TABLE tokens IS 'Vocabulary entries that are an input or a traced output of at least one graph.';

CREATE TABLE token_edges (
    token_id BIGINT NOT NULL,
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    mean_abs_weight FLOAT,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS (mean_abs_weight::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL,
    stat_quality VARCHAR NOT NULL
);
COMMENT ON TABLE token_edges IS 'Input token -> neuron, aggregated over all graphs.';

CREATE TABLE logit_edges (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    token_id BIGINT NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    mean_abs_weight FLOAT,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS (mean_abs_weight::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL,
    stat_quality VARCHAR NOT NULL
);
COMMENT ON TABLE logit_edges IS 'Neuron -> output token, aggregated over all graphs.';

CREATE TABLE token_logit_edges (
    src_token_id BIGINT NOT NULL,
    tgt_token_id BIGINT NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    mean_abs_weight FLOAT,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS (mean_abs_weight::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL
);
COMMENT ON TABLE token_logit_edges IS 'Input token -> output token, aggregated over all graphs.';

CREATE TABLE error_mass (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    mean_abs_weight FLOAT,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS (mean_abs_weight::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL
);
COMMENT ON TABLE error_mass IS 'What error nodes (the part of the model that transcoders do not explain) send into a neuron, over all error nodes and graphs.';

CREATE TABLE logit_error_mass (
    token_id BIGINT NOT NULL,
    count INTEGER NOT NULL,
    graph_count INTEGER,
    positive_count INTEGER,
    mean_weight FLOAT,
    mean_abs_weight FLOAT,
    std_weight FLOAT,
    weight_min FLOAT,
    weight_max FLOAT,
    weight_sum DOUBLE GENERATED ALWAYS AS (mean_weight::DOUBLE * count) VIRTUAL,
    weight_abs_sum DOUBLE GENERATED ALWAYS AS (mean_abs_weight::DOUBLE * count) VIRTUAL,
    weight_sq_sum DOUBLE GENERATED ALWAYS AS ((std_weight::DOUBLE ** 2 + mean_weight::DOUBLE ** 2) * count) VIRTUAL
);
COMMENT ON TABLE logit_error_mass IS 'What error nodes send into an output token, over all error nodes and graphs.';

CREATE TABLE projections (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    projection_kind VARCHAR NOT NULL,
    direction VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    token_id BIGINT,
    token VARCHAR,
    weight FLOAT NOT NULL
);
COMMENT ON TABLE projections IS 'Tokens that a neuron''s weights promote, suppress or answer to; empty unless weights were read.';

CREATE TABLE direct_effects (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    prompt_count INTEGER,
    ratio_mean FLOAT NOT NULL,
    ratio_std FLOAT,
    ratio_min FLOAT,
    ratio_max FLOAT,
    effect_type VARCHAR NOT NULL
);
COMMENT ON TABLE direct_effects IS 'Direct effect ratio of every neuron: |direct| / (|direct| + |indirect|) effect on the predicted token, over prompts; empty unless a model was read.';

CREATE TABLE exemplars (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    sign INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    activation FLOAT NOT NULL,
    token_id BIGINT NOT NULL,
    token VARCHAR,
    context VARCHAR,
    position INTEGER NOT NULL,
    prompt_path VARCHAR NOT NULL
);
COMMENT ON TABLE exemplars IS 'Where in a corpus a neuron fires most, for each sign of its activation; empty unless a model was run.';

CREATE TABLE reports (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    title VARCHAR,
    summary VARCHAR,
    input_function VARCHAR,
    output_function VARCHAR,
    function_type VARCHAR,
    polarity VARCHAR,
    regime VARCHAR,
    confidence FLOAT,
    verdict VARCHAR,
    skeptic_verdict VARCHAR,
    experiment_count INTEGER,
    findings VARCHAR[],
    open_questions VARCHAR[],
    reported VARCHAR,
    details VARCHAR,
    in_atlas BOOLEAN NOT NULL,
    file VARCHAR NOT NULL
);
COMMENT ON TABLE reports IS 'What investigations of single neurons found, one row per file; empty unless reports were imported.';

CREATE TABLE report_examples (
    layer INTEGER NOT NULL,
    neuron INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    prompt VARCHAR,
    token VARCHAR,
    position INTEGER,
    other_layer INTEGER,
    other_neuron INTEGER,
    value FLOAT,
    text VARCHAR,
    details VARCHAR,
    file VARCHAR NOT NULL
);
COMMENT ON TABLE report_examples IS 'The evidence of reports: prompts, ablations, steering, connections, hypotheses, tests and reviews, one row each.';

CREATE TABLE link_counts (
    graph_id INTEGER NOT NULL,
    subject VARCHAR NOT NULL,
    kept BOOLEAN NOT NULL,
    reason VARCHAR NOT NULL,
    count BIGINT NOT NULL
);
COMMENT ON TABLE link_counts IS 'Per graph: how many links went to which table or were dropped for which reason, and oddities among its nodes.';

CREATE TABLE sources (
    path VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    size_bytes BIGINT,
    content_hash VARCHAR
);
COMMENT ON TABLE sources IS 'Every input that is in this atlas.';

CREATE TABLE rejects (
    path VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    size_bytes BIGINT
);
COMMENT ON TABLE rejects IS 'Every input file that could not be read, and why.';

CREATE TABLE metadata (
    key VARCHAR NOT NULL,
    value VARCHAR,
    PRIMARY KEY (key)
);
COMMENT ON TABLE metadata IS 'What made this file: tool, versions, parameters, seeds, counts and timings.';

CREATE TABLE help (
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    example VARCHAR
);
COMMENT ON TABLE help IS 'Every table, view and macro of this file with a sentence and an example to paste. Start here.';

COMMENT ON COLUMN neurons.layer IS 'Layer of the model, from 0.';
COMMENT ON COLUMN neurons.neuron IS 'Index of the neuron (or transcoder feature) within its layer, from 0.';
COMMENT ON COLUMN neurons.neuron_id IS 'The same as text, L24/N5326.';
COMMENT ON COLUMN neurons.unit_type IS 'neuron (an MLP neuron) or feature (a transcoder feature).';
COMMENT ON COLUMN neurons.feature_id IS 'layer * neurons_per_layer + neuron where an importer knows the numbering; otherwise NULL.';
COMMENT ON COLUMN neurons.label IS 'The best label by the stated precedence (rank 1 in labels); NULL where there is none. Label text is somebody''s guess, not a measurement.';
COMMENT ON COLUMN neurons.description IS 'Longer text that belongs to the label shown.';
COMMENT ON COLUMN neurons.input_label IS 'Best label of kind input: what drives it.';
COMMENT ON COLUMN neurons.output_label IS 'Best label of kind output: what it does.';
COMMENT ON COLUMN neurons.label_kind IS 'Kind of the label shown: output, input, activation+, activation-; NULL where its file does not say.';
COMMENT ON COLUMN neurons.label_source IS 'Where the label shown comes from.';
COMMENT ON COLUMN neurons.label_confidence IS 'Confidence of the label shown, as its source states it.';
COMMENT ON COLUMN neurons.appearance_count IS 'The same as graph_count, under its older name.';
COMMENT ON COLUMN neurons.graph_count IS 'Distinct graphs in which it is a node; the denominator of edge frequency.';
COMMENT ON COLUMN neurons.node_count IS 'Nodes: each token position of each graph counts once.';
COMMENT ON COLUMN neurons.in_degree IS 'Edges of this atlas into it; a pair that two methods know counts twice.';
COMMENT ON COLUMN neurons.out_degree IS 'Edges of this atlas out of it; a pair that two methods know counts twice.';
COMMENT ON COLUMN neurons.min_activation IS 'Smallest activation over the nodes of the graphs; neurons of an MLP act with either sign.';
COMMENT ON COLUMN neurons.max_activation IS 'Largest activation: over the exemplars of the label shown where its file states it, otherwise over the nodes of the graphs.';
COMMENT ON COLUMN neurons.mean_activation IS 'Mean activation over its nodes; NULL where the graphs state none.';
COMMENT ON COLUMN neurons.std_activation IS 'Population standard deviation of the activation over its nodes.';
COMMENT ON COLUMN neurons.num_exemplars IS 'Exemplars behind the label, as its file states.';
COMMENT ON COLUMN neurons.mean_influence IS 'Mean influence over its nodes. RelP graphs: RelP score. Circuit-tracer graphs: cumulative pruning score, smaller is more important.';
COMMENT ON COLUMN neurons.min_influence IS 'Smallest influence over its nodes.';
COMMENT ON COLUMN neurons.max_influence IS 'Largest influence over its nodes.';
COMMENT ON COLUMN neurons.output_norm IS 'Norm of its output direction; NULL unless weights were read.';
COMMENT ON COLUMN neurons.cluster_path IS 'Cluster in the primary clustering, dotted from the top: 12, 12.3, 12.3.1. NULL where it is in none.';
COMMENT ON COLUMN neurons.top_cluster IS 'First number of cluster_path.';
COMMENT ON COLUMN neurons.sub_module IS 'Second number of cluster_path.';
COMMENT ON COLUMN neurons.subsub_module IS 'Third number of cluster_path.';
COMMENT ON COLUMN neurons.hierarchy_depth IS 'How many numbers cluster_path has.';
COMMENT ON COLUMN neurons.infomap_flow IS 'Share of the random walk that visits it, in the primary clustering; all members sum to 1.';

COMMENT ON COLUMN edges.src_layer IS 'Layer of the source (upstream) neuron.';
COMMENT ON COLUMN edges.src_neuron IS 'Index of the source neuron within its layer.';
COMMENT ON COLUMN edges.tgt_layer IS 'Layer of the target (downstream) neuron.';
COMMENT ON COLUMN edges.tgt_neuron IS 'Index of the target neuron within its layer.';
COMMENT ON COLUMN edges.count IS 'Links observed; several token positions in one graph count each.';
COMMENT ON COLUMN edges.graph_count IS 'Distinct graphs with at least one such link.';
COMMENT ON COLUMN edges.positive_count IS 'Links with weight > 0.';
COMMENT ON COLUMN edges.mean_weight IS 'Signed mean of the link weights.';
COMMENT ON COLUMN edges.sign_cancellation IS 'mean_abs_weight - |mean_weight|: 0 where all links have one sign, which is why this is stored and not the other.';
COMMENT ON COLUMN edges.mean_abs_weight IS 'Mean of the absolute link weights.';
COMMENT ON COLUMN edges.std_weight IS 'Population standard deviation of the link weights; 0 for a single link.';
COMMENT ON COLUMN edges.weight_min IS 'Smallest link weight.';
COMMENT ON COLUMN edges.weight_max IS 'Largest link weight.';
COMMENT ON COLUMN edges.half_count IS 'Links in the graphs of the first hash-half; the second half has the others.';
COMMENT ON COLUMN edges.half_mean_weight IS 'Signed mean of the link weights in the first hash-half; NULL where it has none.';
COMMENT ON COLUMN edges.joint_graph_count IS 'Distinct graphs that hold both ends, linked or not; NULL where it was not counted.';
COMMENT ON COLUMN edges.lift IS 'How much more often the two are in one graph than by chance: joint_graph_count * graphs / (graphs of one * graphs of the other); 1 is chance.';
COMMENT ON COLUMN edges.npmi IS 'Normalised pointwise mutual information of being in one graph, -1 to 1, 0 is chance; NULL where both are in every graph.';
COMMENT ON COLUMN edges.conditional_frequency IS 'graph_count / joint_graph_count: how often they are linked when both are there.';
COMMENT ON COLUMN edges.weight_sum IS 'Sum of link weights, computed as mean_weight * count.';
COMMENT ON COLUMN edges.weight_abs_sum IS 'Sum of absolute link weights, computed as mean_abs_weight * count.';
COMMENT ON COLUMN edges.weight_sq_sum IS 'Sum of squared link weights, computed from std_weight, mean_weight and count.';
COMMENT ON COLUMN edges.in_circuit IS 'Whether both ends are in the same top cluster of the primary clustering.';
COMMENT ON COLUMN edges.method IS 'How the weights were computed: relp, transcoder or weight_graph.';
COMMENT ON COLUMN edges.stat_quality IS 'exact; rounded where an earlier tool kept sums as 32-bit numbers; mean_only where a file states links and mean alone (deviation and extremes are NULL then).';

COMMENT ON COLUMN cooccurrence.rank IS '1 shares most graphs; ties by the rarer other neuron.';
COMMENT ON COLUMN cooccurrence.other_layer IS 'Layer of the other neuron.';
COMMENT ON COLUMN cooccurrence.other_neuron IS 'Index of the other neuron within its layer.';
COMMENT ON COLUMN cooccurrence.pmi IS 'Pointwise mutual information of being in one graph, in nats: ln(lift).';
COMMENT ON COLUMN edge_samples.bucket IS 'Hash-sixteenth of the graphs, 0 to 15, by the first digit of their content hash; even buckets are the first half.';

COMMENT ON COLUMN clusters.name IS 'Name that somebody gave the cluster (a supernode of a graph); NULL where nobody did.';
COMMENT ON COLUMN clustering_clusters.name IS 'Name that somebody gave the cluster (a supernode of a graph); NULL where nobody did.';
COMMENT ON COLUMN clusters.level IS 'How many numbers cluster_path has; 1 is a top cluster.';
COMMENT ON COLUMN clusters.parent_path IS 'The cluster one level up; NULL for a top cluster.';
COMMENT ON COLUMN clusters.size IS 'Neurons in it, those of its sub-clusters included.';
COMMENT ON COLUMN clusters.layer_min IS 'Lowest layer of its neurons.';
COMMENT ON COLUMN clusters.layer_max IS 'Highest layer of its neurons.';
COMMENT ON COLUMN clusters.median_layer IS 'Median layer of its neurons.';
COMMENT ON COLUMN clusters.flow IS 'Share of the random walk inside it.';

COMMENT ON COLUMN clusterings.clustering IS 'Name of the clustering.';
COMMENT ON COLUMN clusterings.is_primary IS 'Whether neurons.cluster_path and clusters come from it.';
COMMENT ON COLUMN clusterings.method IS 'Clustering method: infomap, leiden, ...';
COMMENT ON COLUMN clusterings.options IS 'Options of the method, as JSON.';
COMMENT ON COLUMN clusterings.seed IS 'Random seed.';
COMMENT ON COLUMN clusterings.trial_count IS 'Trials; the best one was kept.';
COMMENT ON COLUMN clusterings.codelength IS 'Bits per step of the random walk, lower is better (Infomap).';
COMMENT ON COLUMN clusterings.one_level_codelength IS 'Bits per step with everything in one cluster: what codelength is to be compared with.';
COMMENT ON COLUMN clusterings.quality IS 'Quality by the method, higher is better (Leiden); NULL for Infomap.';
COMMENT ON COLUMN clusterings.edge_count IS 'Distinct edges.';
COMMENT ON COLUMN clusterings.neuron_count IS 'Distinct neurons.';
COMMENT ON COLUMN clusterings.cluster_count IS 'Clusters at all levels.';
COMMENT ON COLUMN clusterings.top_cluster_count IS 'Clusters at level 1.';
COMMENT ON COLUMN clusterings.max_level IS 'Deepest level.';

COMMENT ON COLUMN cluster_members.cluster_path IS 'Cluster in this clustering, dotted from the top.';
COMMENT ON COLUMN cluster_members.flow IS 'Share of the random walk that visits it.';

COMMENT ON COLUMN labels.rank IS '1 is the label that neurons shows; NULL for uninformative labels and for labels of other units.';
COMMENT ON COLUMN labels.kind IS 'output, input, activation+ or activation-; NULL where the file does not say.';
COMMENT ON COLUMN labels.text IS 'The label.';
COMMENT ON COLUMN labels.description IS 'Longer text of the label.';
COMMENT ON COLUMN labels.source IS 'Who or what wrote it.';
COMMENT ON COLUMN labels.model IS 'Model that wrote it, where stated.';
COMMENT ON COLUMN labels.confidence IS 'Confidence as its source states it.';
COMMENT ON COLUMN labels.interpretability IS 'Interpretability as its source states it.';
COMMENT ON COLUMN labels.type IS 'Function type as its source states it: semantic, routing, ...';
COMMENT ON COLUMN labels.score IS 'Score as its source states it; labels of the graphs themselves: graphs that carry this text.';
COMMENT ON COLUMN labels.max_activation IS 'Largest activation over its exemplars, as its file states.';
COMMENT ON COLUMN labels.is_uninformative IS 'Whether the text is uninformative (unknown, uninterpretable, empty): kept, never shown.';
COMMENT ON COLUMN labels.in_atlas IS 'Whether the label is of a neuron that has a row in neurons.';
COMMENT ON COLUMN labels.file IS 'File it was read from.';
COMMENT ON COLUMN labels.sources IS 'Every source that states this label of this neuron; source is the first of them.';
COMMENT ON COLUMN labels.subject_model IS 'Model whose unit the label is about, where its file says so.';
COMMENT ON COLUMN labels.dictionary IS 'Transcoder or SAE set whose feature the label is about, where its file says so.';
COMMENT ON COLUMN labels.is_of_atlas IS 'False where subject_model or dictionary is another one than the atlas is of: kept, never shown.';

COMMENT ON COLUMN graphs.graph_id IS 'Number of the graph in this atlas, in the order of path.';
COMMENT ON COLUMN graphs.path IS 'File, below the folder that was given; a member of an archive stands behind ! and a line of a .jsonl behind #. Of a traced prompt: its corpus and its row there.';
COMMENT ON COLUMN graphs.slug IS 'Name that the graph file gives itself.';
COMMENT ON COLUMN graphs.prompt IS 'Prompt that was traced.';
COMMENT ON COLUMN graphs.prompt_tokens IS 'Tokens of the prompt; position 0 is the first.';
COMMENT ON COLUMN graphs.corpus_source IS 'Corpus the prompt comes from, where stated.';
COMMENT ON COLUMN graphs.corpus_index IS 'Index of the prompt in its corpus, where stated.';
COMMENT ON COLUMN graphs.dialect IS 'Format of the file: relp-raw, relp-viewer, circuit-tracer, circuit-tracer-pt; traced where there was none.';
COMMENT ON COLUMN graphs.nodes_exceeded IS 'Whether too many nodes passed the threshold, so that the strongest were kept, or (earlier tools) no links between neurons written.';
COMMENT ON COLUMN graphs.node_count IS 'Nodes of the graph, each id once.';
COMMENT ON COLUMN graphs.neuron_count IS 'Distinct neurons.';
COMMENT ON COLUMN graphs.link_count IS 'Links of the graph.';
COMMENT ON COLUMN graphs.kept_count IS 'Links that went into a table of this atlas.';
COMMENT ON COLUMN graphs.dropped_count IS 'Links that did not; link_counts says why.';
COMMENT ON COLUMN graphs.self_loop_count IS 'Links from a neuron to itself; they are kept.';
COMMENT ON COLUMN graphs.backward_count IS 'Links that do not go to a higher layer; they are kept.';
COMMENT ON COLUMN graphs.size_bytes IS 'Size, unpacked where the file is compressed; of a traced prompt that of its text.';
COMMENT ON COLUMN graphs.original_token_count IS 'Tokens of the whole prompt where only its beginning was traced, which prompt then holds; NULL elsewhere.';
COMMENT ON COLUMN graphs.content_hash IS 'SHA-256, of the unpacked bytes where the file is compressed; of a traced prompt that of model, tokens, targets and options.';

COMMENT ON COLUMN neuron_graphs.node_count IS 'Token positions at which it is a node.';
COMMENT ON COLUMN neuron_graphs.positions IS 'Token positions at which it is a node, from 0; -1 where the file says none.';
COMMENT ON COLUMN neuron_graphs.activation_min IS 'Smallest activation in this graph.';
COMMENT ON COLUMN neuron_graphs.activation_max IS 'Largest activation in this graph.';
COMMENT ON COLUMN neuron_graphs.influence_min IS 'Smallest influence in this graph.';
COMMENT ON COLUMN neuron_graphs.influence_max IS 'Largest influence in this graph.';

COMMENT ON COLUMN tokens.token_id IS 'Number of the token in the vocabulary.';
COMMENT ON COLUMN tokens.token IS 'Text of the token; the alphabetically first spelling where graphs spell it in several ways.';
COMMENT ON COLUMN tokens.input_graph_count IS 'Distinct graphs with it in the prompt.';
COMMENT ON COLUMN tokens.output_graph_count IS 'Distinct graphs with it among the traced outputs.';
COMMENT ON COLUMN tokens.probability_max IS 'Its largest output probability.';

COMMENT ON COLUMN token_logit_edges.src_token_id IS 'Input token.';
COMMENT ON COLUMN token_logit_edges.tgt_token_id IS 'Output token.';

COMMENT ON COLUMN projections.projection_kind IS 'Which product of weights: output, input_up, input_gated; or output_token: a token that is predicted where the neuron is a node (weight: how often).';
COMMENT ON COLUMN projections.direction IS 'promotes or suppresses; activates or suppresses for inputs.';
COMMENT ON COLUMN projections.rank IS '1 is the strongest.';
COMMENT ON COLUMN projections.weight IS 'Value of the product.';

COMMENT ON COLUMN connections.c_up IS 'up_proj of the target . down_proj of the source.';
COMMENT ON COLUMN connections.c_gate IS 'gate_proj of the target . down_proj of the source.';
COMMENT ON COLUMN connections.strength IS 'c_up + c_gate; both have one sign, so it is |c_up| + |c_gate|, negative where inhibitory.';
COMMENT ON COLUMN connections.polarity IS 'excitatory where both products are positive, inhibitory where both are negative; predicted, it flips where the target fires with gate and up both negative.';
COMMENT ON COLUMN connections.confidence IS 'Smaller of |c_up| and |c_gate| over the larger.';
COMMENT ON COLUMN connections.upstream_rank IS 'Rank among the connections of this polarity into the target; NULL where it is not among those kept.';
COMMENT ON COLUMN connections.downstream_rank IS 'Rank among the connections of this polarity out of the source; NULL where it is not among those kept.';

COMMENT ON COLUMN connections.listed_by IS 'Whose list of strongest connections it is in: source, target or both.';

COMMENT ON COLUMN reports.kind IS 'investigation, dashboard or review.';
COMMENT ON COLUMN reports.title IS 'Name that the report gives the neuron.';
COMMENT ON COLUMN reports.summary IS 'What the report says it does: its final hypothesis or summary.';
COMMENT ON COLUMN reports.input_function IS 'What it answers to, as the report says.';
COMMENT ON COLUMN reports.output_function IS 'What it does to the output, as the report says.';
COMMENT ON COLUMN reports.function_type IS 'semantic, routing, formatting, lexical, hybrid, ...';
COMMENT ON COLUMN reports.polarity IS 'Sign of the activations that were studied: positive or negative.';
COMMENT ON COLUMN reports.regime IS 'standard, inverted or mixed: whether gate and up are positive where it fires.';
COMMENT ON COLUMN reports.confidence IS 'Confidence of the investigator, 0 to 1.';
COMMENT ON COLUMN reports.verdict IS 'Final verdict of the review: APPROVE, MAX_ITERATIONS or ERROR.';
COMMENT ON COLUMN reports.skeptic_verdict IS 'What a second investigator concluded: SUPPORTED, WEAKENED or REFUTED.';
COMMENT ON COLUMN reports.experiment_count IS 'Experiments that were run.';
COMMENT ON COLUMN reports.findings IS 'Key findings.';
COMMENT ON COLUMN reports.open_questions IS 'Questions left open.';
COMMENT ON COLUMN reports.reported IS 'When it was written, as the file says.';
COMMENT ON COLUMN reports.details IS 'Everything else of the file, as JSON.';

COMMENT ON COLUMN report_examples.kind IS 'activating, non_activating, negatively_activating, promotes, suppresses, steering, upstream, downstream, relp, hypothesis, test or review.';
COMMENT ON COLUMN report_examples.rank IS 'Place in its list, from 1.';
COMMENT ON COLUMN report_examples.prompt IS 'Prompt of the experiment.';
COMMENT ON COLUMN report_examples.token IS 'Token that fires, or that is promoted or suppressed.';
COMMENT ON COLUMN report_examples.position IS 'Token position in the prompt.';
COMMENT ON COLUMN report_examples.value IS 'Activation, shift of a logit, weight of a connection, or probability of a hypothesis.';
COMMENT ON COLUMN report_examples.text IS 'Label of the other neuron, hypothesis with its status, test or feedback.';
COMMENT ON COLUMN report_examples.details IS 'Everything else of the item, as JSON.';

COMMENT ON COLUMN direct_effects.prompt_count IS 'Prompts that the ratio was measured on.';
COMMENT ON COLUMN direct_effects.ratio_mean IS 'Mean ratio; 1 is all straight to the logits, 0 all through later layers.';
COMMENT ON COLUMN direct_effects.ratio_std IS 'Population standard deviation of the ratio.';
COMMENT ON COLUMN direct_effects.ratio_min IS 'Smallest ratio.';
COMMENT ON COLUMN direct_effects.ratio_max IS 'Largest ratio.';
COMMENT ON COLUMN direct_effects.effect_type IS 'logit above 0.7, routing below 0.3, mixed between.';

COMMENT ON COLUMN exemplars.sign IS '1 or -1: the sign of the activation.';
COMMENT ON COLUMN exemplars.activation IS 'Activation at this token.';
COMMENT ON COLUMN exemplars.context IS 'The words in front of the token.';
COMMENT ON COLUMN exemplars.position IS 'Token position in the prompt.';
COMMENT ON COLUMN exemplars.prompt_path IS 'Prompt, as graphs.path names its graph.';

COMMENT ON COLUMN link_counts.subject IS 'link, or node for an oddity of the node table.';
COMMENT ON COLUMN link_counts.kept IS 'Whether these links are in the table that reason names.';
COMMENT ON COLUMN link_counts.reason IS 'Table the links went to, or why they were dropped.';
COMMENT ON COLUMN link_counts.count IS 'Links (or nodes).';

COMMENT ON COLUMN sources.path IS 'File, or traced prompt.';
COMMENT ON COLUMN sources.size_bytes IS 'Size; of a graph unpacked, of other files as stored.';
COMMENT ON COLUMN sources.content_hash IS 'SHA-256; of a graph unpacked, of other files as stored.';
COMMENT ON COLUMN sources.role IS 'graph, labels, recipe, model, prompts, or the kind of an imported file.';

COMMENT ON COLUMN rejects.path IS 'File.';
COMMENT ON COLUMN rejects.size_bytes IS 'Size as far as it was read: unpacked where unpacking worked, else as stored.';
COMMENT ON COLUMN rejects.reason IS 'Why, in a word that can be counted.';
COMMENT ON COLUMN rejects.message IS 'Why, in a sentence.';

COMMENT ON COLUMN metadata.key IS 'Name of the fact.';
COMMENT ON COLUMN metadata.value IS 'The fact, as text.';

COMMENT ON COLUMN help.name IS 'Name of the table, view or macro.';
COMMENT ON COLUMN help.kind IS 'table, view or macro.';
COMMENT ON COLUMN help.description IS 'What it holds or answers.';
COMMENT ON COLUMN help.example IS 'SQL to paste.';
