"""Files of earlier tools -> the stage folders of this one, each as a stream."""

from __future__ import annotations

from atlas.legacy.checkpoint import import_checkpoint
from atlas.legacy.checkpoint_sections import CheckpointSummary

__all__ = ["CheckpointSummary", "import_checkpoint"]
