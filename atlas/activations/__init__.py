"""Activations of neurons: projections, direct effects, exemplars."""

from __future__ import annotations

from atlas.activations.stage import ProjectSummary, project

__all__ = ["ProjectSummary", "project"]
