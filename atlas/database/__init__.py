"""The atlas file: built from Parquet datasets, checked, and opened read-only."""

from __future__ import annotations

from atlas.database.build import BuildResult, build_database, refuse_foreign
from atlas.database.check import CheckResult, run_checks
from atlas.database.connect import (
    DEFAULT_MEMORY,
    catalog_name,
    graphs_folder,
    is_comparison,
    is_duckdb_file,
    open_atlas,
    open_several,
    use_catalog,
)
from atlas.database.inputs import Inputs
from atlas.database.macros import macros
from atlas.database.read_only import one_line, require_reading
from atlas.database.scripts import Parameter, Script, scripts
from atlas.database.store_inputs import StoreInputs

__all__ = [
    "DEFAULT_MEMORY",
    "BuildResult",
    "CheckResult",
    "Inputs",
    "Parameter",
    "Script",
    "StoreInputs",
    "build_database",
    "catalog_name",
    "graphs_folder",
    "is_comparison",
    "is_duckdb_file",
    "macros",
    "one_line",
    "open_atlas",
    "open_several",
    "refuse_foreign",
    "require_reading",
    "run_checks",
    "scripts",
    "use_catalog",
]
