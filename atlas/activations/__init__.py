"""What neurons write and where they fire: projections, direct effects, exemplars."""

from __future__ import annotations

from atlas.activations.stage import ProjectOptions, ProjectSummary, project

__all__ = ["ProjectOptions", "ProjectSummary", "project"]
