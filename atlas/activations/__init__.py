"""Projections, direct effect ratios and exemplars of the neurons of a model."""

from __future__ import annotations

from atlas.activations.stage import ProjectSummary, project

__all__ = ["ProjectSummary", "project"]
