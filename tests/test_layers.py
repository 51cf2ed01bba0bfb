"""The house of DESIGN section 3: imports point down, siblings do not meet, heavy imports stay away."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# `errors` is the ground floor: everything may raise.
LAYERS = [
    {"errors"},
    {"resources", "ids", "storage", "compiling", "devices"},
    {"schema", "recipe", "graph", "json_members"},
    {"stats_writer", "clusters_writer"},
    {"connections"},
    {"graphs", "aggregate", "trace", "wiring", "cluster", "labels", "legacy"},
    {"database"},
    {"pipeline", "queries", "compare"},
    {
        "cli",
        "page",
        "terminal",
        "query_options",
        "command_options",
        "import_commands",
        "model_commands",
        "page_commands",
        "telling",
        "tour",
    },
]
SIBLINGS = LAYERS[5]
# The terminal front: the command prints pages and tables.
WITHIN_TOP = {
    ("cli", "page_commands"),
    ("page_commands", "page"),
    ("page_commands", "tour"),
    ("page_commands", "terminal"),
    ("page_commands", "command_options"),
    ("cli", "terminal"),
    ("cli", "query_options"),
    ("cli", "command_options"),
    ("cli", "model_commands"),
    ("cli", "import_commands"),
    ("import_commands", "command_options"),
    ("import_commands", "telling"),
    ("import_commands", "terminal"),
    ("cli", "telling"),
    ("model_commands", "command_options"),
    ("model_commands", "telling"),
    ("model_commands", "terminal"),
    ("telling", "terminal"),
    ("tour", "page"),
    ("tour", "terminal"),
    ("page", "terminal"),
}
HEAVY = {
    "torch": {
        "aggregate",
        "devices",
        "graphs",
        "trace",
        "wiring",
    },  # graphs: reading .pt files, inside the function that does
    "numpy": {"aggregate", "graphs", "trace", "wiring", "cluster", "graph", "legacy", "connections", "clusters_writer"},
    "transformers": {"trace"},
    "tokenizers": {"trace"},
    "safetensors": {"trace", "wiring"},
    "msgspec": {"graphs"},
    "numba": {"aggregate", "compiling", "graphs"},
    "distributed": {"aggregate"},
    "infomap": {"cluster"},
    "igraph": {"cluster"},
    "leidenalg": {"cluster"},
}
MODULES = sorted((ROOT / "atlas").rglob("*.py"))


def unit_of(path: Path) -> str:
    return path.relative_to(ROOT / "atlas").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    mine = unit_of(path)
    if mine == "__init__":
        return
    level = {unit: number for number, layer in enumerate(LAYERS) for unit in layer}
    for name in imports(path):
        if not name.startswith("atlas."):
            continue
        other = name.split(".")[1]
        if other in (mine, "__version__"):
            continue
        if mine in SIBLINGS and other in SIBLINGS:
            pytest.fail(f"{path}: siblings meet only in Parquet, not by importing {name}")
        assert level[other] < level[mine] or (mine, other) in WITHIN_TOP, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_folders(path: Path) -> None:
    for name in imports(path):
        library = name.split(".")[0]
        if library in HEAVY:
            assert unit_of(path) in HEAVY[library], f"{path} imports {library}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            assert node.end_lineno - start <= 45, f"{path}:{node.lineno} {node.name}"


def test_no_sql_longer_than_a_line_in_python() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith(("SELECT ", "INSERT ", "CREATE "))
            ):
                assert "\n" not in node.value, f"{path}:{node.lineno}"


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_atlas_loads_nothing_heavy() -> None:
    loaded = loaded_by("import atlas")
    assert not loaded & {"torch", "numpy", "duckdb", "polars", "pyarrow", "click", "rich", "infomap", "msgspec"}


def test_help_loads_no_engine() -> None:
    loaded = loaded_by(
        "from click.testing import CliRunner\nfrom atlas.cli import main\nassert CliRunner().invoke(main, ['--help']).exit_code == 0"
    )
    assert not loaded & {"torch", "numpy", "duckdb", "polars", "pyarrow", "infomap", "msgspec"}


def test_asking_an_atlas_needs_no_torch_numpy_or_msgspec(small_atlas: Path) -> None:
    code = f"import atlas\nwith atlas.open({str(small_atlas)!r}) as a: assert a.neurons(limit=3).fetchall()"
    assert not loaded_by(code) & {"torch", "infomap", "msgspec"}
