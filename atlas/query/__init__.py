"""Queries of an atlas: the Python client, the catalogue of queries, comparisons of two atlases."""

from __future__ import annotations

from atlas.query.catalogue import as_neuron, catalogue, find_query
from atlas.query.client import Atlas
from atlas.query.connection import AtlasFile

__all__ = ["Atlas", "AtlasFile", "as_neuron", "catalogue", "find_query"]
