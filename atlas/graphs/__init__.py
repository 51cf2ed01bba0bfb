"""Readers of attribution graph files: one module per dialect, detection in `dialects`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator

import numpy as np

from atlas.errors import GraphError
from atlas.graph import Graph, GraphInfo, NodeKind, Reject, Source
from atlas.graphs import circuit_tracer, torch_file
from atlas.graphs.assemble import assemble
from atlas.graphs.dialects import detect
from atlas.graphs.files import Blob, companion, find_sources, is_companion, read_blobs
from atlas.graphs.limits import ReadLimits
from atlas.graphs.raw import RawGraph, RawMetadata, decode
from atlas.ids import well_formed

_HASH = re.compile(r"[0-9a-f]{64}\Z")

__all__ = ["Blob", "Graph", "ReadLimits", "Reject", "Source", "find_sources", "parse_graph", "read_graphs"]


def read_graphs(source: Source, limits: ReadLimits = ReadLimits()) -> Iterator[Graph | Reject]:  # noqa: B008 (a constant)
    """Read the graphs of one file. A malformed file never raises an error.

    Args:
        source: File of one graph, of one graph per line, or an archive.
        limits: Limits on the size of a graph.

    Yields:
        A graph, or a `Reject` for each that cannot be read.
    """
    for item in read_blobs(source, limits):
        if isinstance(item, Reject):
            yield item
            continue
        try:
            yield parse_graph(item, limits)
        except GraphError as error:
            if error.reason == "not_a_graph" and is_companion(item.path, holds_no_graph=True):
                yield companion(item.path, len(item.data))
            else:
                yield Reject(item.path, error.reason, well_formed(str(error)), len(item.data))


def parse_graph(blob: Blob, limits: ReadLimits = ReadLimits()) -> Graph:  # noqa: B008 (a constant)
    """Read one whole graph.

    Args:
        blob: Bytes of the graph, and their path.
        limits: Limits on the size of the graph.

    Returns:
        The graph: nodes (n_nodes,) and links (n_links,).

    Raises:
        GraphError: The bytes are not a readable graph; the error has the reason.
    """
    content_hash = hashlib.sha256(blob.data).hexdigest()
    if blob.path.lower().endswith(".pt"):
        graph = torch_file.read(blob.data, blob.path, content_hash, limits)
        return dataclasses.replace(graph, info=dataclasses.replace(graph.info, graph_hash=hash_of(graph)))
    raw, malformed = decode(blob.data, limits)
    dialect = detect(raw)
    metadata = raw.metadata or RawMetadata()
    traced = metadata.trace_hash
    info = GraphInfo(
        path=blob.path,
        content_hash=traced if traced and _HASH.match(traced) else content_hash,
        file_hash=content_hash,
        size_bytes=len(blob.data),
        dialect=dialect.name,
        space=dialect.space(metadata),
        set_names=circuit_tracer.set_names(metadata),
        slug=metadata.slug,
        prompt=metadata.prompt,
        prompt_tokens=metadata.prompt_tokens,
        corpus_source=metadata.source,
        prompt_group=None if metadata.prompt_group in (None, "") else str(metadata.prompt_group),
        corpus_index=metadata.corpus_index if metadata.corpus_index is not None else metadata.sample_index,
        nodes_exceeded=_nodes_exceeded(raw, metadata),
    )
    graph = assemble(raw, malformed, dialect, info)
    if info.content_hash != content_hash:
        return graph  # the tracer's own hash identifies the graph in every format
    return dataclasses.replace(graph, info=dataclasses.replace(info, graph_hash=hash_of(graph)))


def hash_of(graph: Graph) -> str:
    """Return a hash of the content of a graph. Indentation, pinned nodes and file names do not change it.

    The hash is SHA-256 over the feature space, slug and prompt, the nodes in their order (kind, unit, position,
    activation) and the links.
    """
    info, nodes, links = graph.info, graph.nodes, graph.links
    # Texts of tokens and targets are part of the graph; those of features are labels, which people edit.
    texts = [text for kind, text in zip(nodes.kind.tolist(), nodes.text, strict=True) if kind != NodeKind.NEURON]
    counts = [graph.link_total, sorted(graph.dropped_links.items())]
    run = [info.slug, info.corpus_source, info.corpus_index]
    facts = [info.space, info.prompt, info.prompt_tokens, run, texts, counts]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for array in (nodes.kind, nodes.key, nodes.position, nodes.activation, links.source, links.target, links.weight):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _nodes_exceeded(raw: RawGraph, metadata: RawMetadata) -> bool | None:
    return raw.nodes_exceeded if raw.nodes_exceeded is not None else metadata.nodes_exceeded
