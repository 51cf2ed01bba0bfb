"""Parquet -> DuckDB file; checks."""

from __future__ import annotations

from atlas.database.build import BuildResult, build_database, refuse_foreign
from atlas.database.check import CheckResult, run_checks
from atlas.database.connect import open_atlas
from atlas.database.inputs import Inputs
from atlas.database.scripts import Parameter, Script, scripts

__all__ = [
    "BuildResult",
    "CheckResult",
    "Inputs",
    "Parameter",
    "Script",
    "build_database",
    "open_atlas",
    "refuse_foreign",
    "run_checks",
    "scripts",
]
