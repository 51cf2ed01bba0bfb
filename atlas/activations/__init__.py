"""Activations: stores, statistics and exemplars; and what the weights of a neuron promote."""

from __future__ import annotations

from atlas.activations.collect import CollectSummary, collect
from atlas.activations.dictionaries import Dictionary, load_dictionary
from atlas.activations.features import FeatureSummary, read_features
from atlas.activations.measures import MeasureSummary, measure
from atlas.activations.probe import probe
from atlas.activations.reconstruction import Reconstruction, reconstruct
from atlas.activations.scores import ScoreSummary, score_explanations
from atlas.activations.stage import ProjectSummary, project
from atlas.activations.sweeps import Family, sweep, token_family
from atlas.activations.train import TrainSummary, train_dictionary
from atlas.options import MeasureOptions
from atlas.stages.store.cells import Context, StoreSummary
from atlas.stages.store.collector import Collector
from atlas.stages.store.spaces import ActivationSpace

__all__ = [
    "ActivationSpace",
    "CollectSummary",
    "Collector",
    "Context",
    "Dictionary",
    "Family",
    "FeatureSummary",
    "MeasureOptions",
    "MeasureSummary",
    "ProjectSummary",
    "Reconstruction",
    "ScoreSummary",
    "StoreSummary",
    "TrainSummary",
    "collect",
    "load_dictionary",
    "measure",
    "probe",
    "project",
    "read_features",
    "reconstruct",
    "score_explanations",
    "sweep",
    "token_family",
    "train_dictionary",
]
