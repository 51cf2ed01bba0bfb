"""Files of earlier tools -> the stage folders of this one, each as a stream."""

from __future__ import annotations

from atlas.legacy.assignments import LEAF_RANKS, has_clusters, import_assignments
from atlas.legacy.checkpoint import find_checkpoint, import_checkpoint
from atlas.legacy.edge_stats import import_edge_stats
from atlas.legacy.older_atlas import import_older_atlas
from atlas.legacy.projections import import_projections
from atlas.legacy.reports import import_reports
from atlas.legacy.summary import ImportSummary
from atlas.legacy.wiring_cache import import_wiring_cache

__all__ = [
    "LEAF_RANKS",
    "ImportSummary",
    "find_checkpoint",
    "has_clusters",
    "import_assignments",
    "import_checkpoint",
    "import_edge_stats",
    "import_older_atlas",
    "import_projections",
    "import_reports",
    "import_wiring_cache",
]
