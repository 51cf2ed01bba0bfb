"""Files of earlier tools -> the stage folders of this one, each as a stream."""

from __future__ import annotations

from atlas.importers.checkpoint import find_checkpoint, import_checkpoint
from atlas.importers.cluster_assignments import LEAF_RANKS, has_clusters, import_assignments
from atlas.importers.edge_stats import import_edge_stats
from atlas.importers.legacy_atlas import import_older_atlas
from atlas.importers.projections import import_projections
from atlas.importers.reports import import_reports
from atlas.importers.summary import ImportSummary
from atlas.importers.wiring_cache import import_wiring_cache

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
