"""The RelP dialects, raw and viewer: neuron graphs of the earlier tool."""

from __future__ import annotations

import functools
import re

from atlas.graph import NodeKind, Space
from atlas.graphs.raw import RawMetadata

KINDS = {
    "mlp_neuron": NodeKind.NEURON,
    "embedding": NodeKind.TOKEN,
    "logit": NodeKind.LOGIT,
    "error": NodeKind.ERROR,
}

# The raw and the viewer form of a graph use two names for one model.
_SAME_MODEL = {"llama-3.1-8b": "llama-3.1-8b-instruct"}
_NEURON_LABEL = re.compile(r"L\d+/N\d+(?:: (.*))?\Z", re.DOTALL)


def space(metadata: RawMetadata) -> Space:
    """Return the feature space, with the model that `scan` names. RelP graphs have no transcoders."""
    scan = metadata.scan if isinstance(metadata.scan, str) else None
    return Space(_SAME_MODEL.get(scan, scan) if scan else None, None, "neuron", **metadata.attribution)


def neuron_text(clerp: str) -> str | None:
    """Return the label after `L10/N2427: `, or None if the clerp is only the id.

    >>> neuron_text("L10/N2427: plural nouns")
    'plural nouns'
    """
    # Cache short texts, because the same ids occur in many graphs. Long texts of hostile files must not be kept.
    return _short_text(clerp) if len(clerp) <= 32 else _text(clerp)


def _text(clerp: str) -> str | None:
    found = _NEURON_LABEL.match(clerp)
    text = found[1] if found else clerp
    return text if text and text.strip() else None


_short_text = functools.lru_cache(maxsize=1 << 16)(_text)
