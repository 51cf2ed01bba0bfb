"""Questions to an atlas: the Python client, its queries, comparisons of two atlases."""

from __future__ import annotations

from atlas.query.client import Atlas, as_neuron, catalogue, find_query

__all__ = ["Atlas", "as_neuron", "catalogue", "find_query"]
