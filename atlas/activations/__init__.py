"""Activations: stores, statistics and exemplars; and what the weights of a neuron promote."""

from __future__ import annotations

from atlas.activations.cells import Context
from atlas.activations.collect import CollectSummary, collect
from atlas.activations.collector import Collector, StoreSummary
from atlas.activations.dictionaries import Dictionary, load_dictionary
from atlas.activations.measures import MeasureOptions, MeasureSummary, measure
from atlas.activations.spaces import ActivationSpace
from atlas.activations.stage import ProjectSummary, project

__all__ = [
    "ActivationSpace",
    "CollectSummary",
    "Collector",
    "Context",
    "Dictionary",
    "MeasureOptions",
    "MeasureSummary",
    "ProjectSummary",
    "StoreSummary",
    "collect",
    "load_dictionary",
    "measure",
    "project",
]
