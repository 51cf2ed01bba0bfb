-- One attribution graph per row: prompt, size, and how many of its links were kept.

CREATE TABLE graphs (
    graph_id INTEGER NOT NULL,
    path VARCHAR NOT NULL,
    slug VARCHAR,
    prompt VARCHAR,
    prompt_tokens VARCHAR[],
    corpus_source VARCHAR,
    corpus_index BIGINT,
    prompt_group VARCHAR,
    group_id INTEGER,
    group_rule VARCHAR,
    split_bucket INTEGER,
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

COMMENT ON COLUMN graphs.graph_id IS 'Number of the graph in this atlas, in the order of path.';
COMMENT ON COLUMN graphs.path IS 'File path relative to the given folder, followed by !member for archives and #line for .jsonl files. For a traced prompt: its corpus and row.';
COMMENT ON COLUMN graphs.slug IS 'Name that the graph file gives itself.';
COMMENT ON COLUMN graphs.prompt IS 'Prompt that was traced.';
COMMENT ON COLUMN graphs.prompt_tokens IS 'Tokens of the prompt; position 0 is the first.';
COMMENT ON COLUMN graphs.corpus_source IS 'Corpus the prompt comes from, where stated.';
COMMENT ON COLUMN graphs.corpus_index IS 'Index of the prompt in its corpus, where stated.';
COMMENT ON COLUMN graphs.prompt_group IS 'Group of the prompt, the unit of replication: its stated group or source, near:HASH for near-duplicate prompts, graph:HASH for a graph alone.';
COMMENT ON COLUMN graphs.group_id IS 'Number of the group; see the view prompt_groups.';
COMMENT ON COLUMN graphs.group_rule IS 'Rule that made the group: stated, source, near_duplicate, or graph (every graph is a group of its own).';
COMMENT ON COLUMN graphs.split_bucket IS 'Sixteenth of the corpus, 0 to 15, by a hash of the group; even buckets are the first half.';
COMMENT ON COLUMN graphs.dialect IS 'Format of the file: relp-raw, relp-viewer, circuit-tracer or circuit-tracer-pt; traced if there was no file.';
COMMENT ON COLUMN graphs.nodes_exceeded IS 'Whether too many nodes passed the threshold. Then only the strongest were kept, or (earlier tools) no links between neurons were written.';
COMMENT ON COLUMN graphs.node_count IS 'Nodes of the graph, each id once.';
COMMENT ON COLUMN graphs.neuron_count IS 'Distinct neurons.';
COMMENT ON COLUMN graphs.link_count IS 'Links of the graph.';
COMMENT ON COLUMN graphs.kept_count IS 'Links that went into a table of this atlas.';
COMMENT ON COLUMN graphs.dropped_count IS 'Number of links that were dropped; link_counts has the reasons.';
COMMENT ON COLUMN graphs.self_loop_count IS 'Links from a neuron to itself; they are kept.';
COMMENT ON COLUMN graphs.backward_count IS 'Number of links to the same or a lower layer; they are kept.';
COMMENT ON COLUMN graphs.size_bytes IS 'Uncompressed size of the file; for a traced prompt, the size of its text.';
COMMENT ON COLUMN graphs.original_token_count IS 'Number of tokens of the whole prompt if it was truncated (prompt holds the traced part); otherwise NULL.';
COMMENT ON COLUMN graphs.content_hash IS 'SHA-256 of the uncompressed bytes; for a traced prompt, of model, tokens, targets and options.';
