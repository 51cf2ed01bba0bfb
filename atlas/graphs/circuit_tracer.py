"""The circuit-tracer / Neuronpedia JSON dialect: transcoder feature graphs."""

from __future__ import annotations

import re

from atlas.graph import NodeKind, Space
from atlas.graphs.raw import RawMetadata

# Per-layer transcoder features are written as "cross layer transcoder" too.
KINDS = {
    "cross layer transcoder": NodeKind.NEURON,
    "per layer transcoder": NodeKind.NEURON,
    "transcoder": NodeKind.NEURON,
    "transcoder feature": NodeKind.NEURON,
    # Features of a residual-stream SAE are features of the layer that they read.
    "sae": NodeKind.NEURON,
    "sae_feature": NodeKind.NEURON,
    "sae feature": NodeKind.NEURON,
    "residual sae": NodeKind.NEURON,
    "mlp reconstruction error": NodeKind.ERROR,
    "error": NodeKind.ERROR,
    "embedding": NodeKind.TOKEN,
    "logit": NodeKind.LOGIT,
}

_BARE_NEURON = re.compile(r"L\d+/N\d+\Z")


def space(metadata: RawMetadata) -> Space:
    """Return the feature space, with the transcoder set: `scan` is the same for cross-layer and per-layer ones."""
    scan = "+".join(metadata.scan) if isinstance(metadata.scan, list) else metadata.scan
    # The tracer of this package also writes neurons in this format, and states their unit type.
    unit_type = "neuron" if metadata.unit_type == "neuron" else "feature"
    return Space(scan, _transcoder_set(metadata), unit_type, **metadata.attribution)


def _transcoder_set(metadata: RawMetadata) -> str | None:
    info = metadata.info
    if info is not None:
        named = info.transcoder_set or info.neuronpedia_source_set
        if named:
            return named
    details = metadata.feature_details
    if details is not None and details.neuronpedia_source_set:
        return details.neuronpedia_source_set
    if info is not None and info.source_urls:
        return info.source_urls if isinstance(info.source_urls, str) else info.source_urls[0]
    return "+".join(metadata.transcoder_list) if metadata.transcoder_list else None


def set_names(metadata: RawMetadata) -> frozenset[str]:
    """Return all names of the transcoder set in the metadata, because labels of the set may use any of them."""
    info, details = metadata.info, metadata.feature_details
    found: list[str | None] = [_transcoder_set(metadata), *(metadata.transcoder_list or ())]
    if details is not None:
        found.append(details.neuronpedia_source_set)
    if info is not None:
        found += [info.transcoder_set, info.neuronpedia_source_set]
        urls = [info.source_urls] if isinstance(info.source_urls, str) else info.source_urls or []
        found += [url.rstrip("/").rpartition("/")[2] for url in urls]
    return frozenset(name for name in found if name)


def neuron_text(clerp: str) -> str | None:
    """Return the label of a feature: the whole clerp, or None if it is blank or only the id of a neuron."""
    return clerp if clerp.strip() and not _BARE_NEURON.match(clerp) else None
