"""Registry of importers: every kind of files of other tools that can be imported, once.

A new kind needs a module with a function `(given, out, *, progress, ...) -> ImportSummary` and one row here, which
recipes and the stages of a build use, and a command in `atlas.cli.import_commands`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from atlas.errors import needs_extra

if TYPE_CHECKING:
    from atlas.importers.summary import ImportSummary


@dataclass(frozen=True)
class Importer:
    """Importer of one kind of files.

    Attributes:
        kind: Name in `atlas import KIND` and in `[[imports]]`.
        stage: Stage whose datasets it writes.
        function: Module in this package and function, as `module.function`. It is loaded at first use.
        takes_many: True where it reads several paths, False where it reads one.
        options: Keys of `[[imports]]` that it takes, and `memory` where it takes that.
    """

    kind: str
    stage: str
    function: str
    takes_many: bool
    options: tuple[str, ...] = ()

    def run(self, paths: Sequence[Path], out: Path, **options: Any) -> ImportSummary:
        """Read the files into the stage folder `out`.

        Args:
            paths: Files or folders; one where the kind does not take many.
            out: Stage folder, which is replaced.
            **options: Options of the kind, and `progress`.

        Returns:
            Counts of rows that were read and left out.

        Raises:
            InputError: A file is of another kind, cut off or damaged. Nothing is written then.
            MissingExtra: A library is not installed.
            OutputError: `out` cannot be written.
        """
        module, _, name = self.function.partition(".")
        with needs_extra("aggregate"):
            function = getattr(importlib.import_module(f"atlas.importers.{module}"), name)
        return cast("ImportSummary", function(list(paths) if self.takes_many else paths[0], out, **options))


IMPORTERS = {
    importer.kind: importer
    for importer in (
        Importer(
            "checkpoint", "stats", "checkpoint.import_checkpoint", takes_many=False, options=("model", "min_count")
        ),
        Importer("edge-stats", "stats", "edge_stats.import_edge_stats", takes_many=True, options=("model", "memory")),
        Importer("legacy-atlas", "stats", "legacy_atlas.import_legacy_atlas", takes_many=False, options=("model",)),
        Importer(
            "wiring-cache", "stats", "wiring_cache.import_wiring_cache", takes_many=True, options=("model", "memory")
        ),
        Importer(
            "assignments",
            "clusters",
            "cluster_assignments.import_assignments",
            takes_many=False,
            options=("name", "method", "leaf_ranks"),
        ),
        Importer("projections", "projections", "projections.import_projections", takes_many=True),
        Importer(
            "activations",
            "activations",
            "activations.import_activations",
            takes_many=False,
            options=("model", "memory", "layer", "units", "value_kind"),
        ),
        Importer(
            "samples", "activations", "samples.import_samples", takes_many=True, options=("model", "memory", "layer")
        ),
        Importer("vectors", "activations", "vectors.import_vectors", takes_many=False, options=("model", "memory")),
        Importer("reports", "reports", "reports.import_reports", takes_many=True),
    )
}
