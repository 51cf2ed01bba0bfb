"""The house of DESIGN section 3: imports point down, siblings do not meet, heavy imports stay away."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

# `errors` is the ground floor: everything may raise.
LAYERS = [
    {"errors", "text"},
    {"resources", "ids", "storage", "compiling", "devices", "interrupts", "lines", "architectures", "paths"},
    {"schema", "recipe", "graph", "json_members"},
    {"stats_writer", "clusters_writer"},
    {"connections"},
    {"graphs", "aggregate", "trace", "wiring", "cluster", "labels", "legacy"},
    {"database"},
    {"pipeline", "queries", "compare"},
    {
        "cli",
        "__main__",
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
    ("__main__", "cli"),
    ("cli", "page_commands"),
    ("page_commands", "page"),
    ("page_commands", "tour"),
    ("page_commands", "terminal"),
    ("page_commands", "command_options"),
    ("cli", "terminal"),
    ("command_options", "terminal"),
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


def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> list[tuple[str, str, ast.Module]]:
    """Path, unit (folder or module of the first level) and syntax tree of every module."""
    return [(str(path.relative_to(ROOT)), unit_of(path), ast.parse(path.read_text())) for path in MODULES]


def test_imports_point_down() -> None:
    level = {unit: number for number, layer in enumerate(LAYERS) for unit in layer}
    wrong = []
    for path, unit, tree in modules():
        for name in imports(tree):
            if not name.startswith("atlas.") or unit == "__init__":
                continue
            other = name.split(".")[1]
            if other in (unit, "_version"):
                continue
            meet = unit in SIBLINGS and other in SIBLINGS  # siblings meet only in Parquet
            if meet or not (level[other] < level[unit] or (unit, other) in WITHIN_TOP):
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_heavy_libraries_stay_in_their_folders() -> None:
    wrong = [
        f"{path} imports {name}"
        for path, unit, tree in modules()
        for name in imports(tree)
        if unit not in HEAVY.get(name.split(".")[0], {unit})
    ]
    assert wrong == []


def test_files_and_functions_stay_small() -> None:
    wrong = [str(path.relative_to(ROOT)) for path in MODULES if len(path.read_text().splitlines()) > 400]
    for path, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                if node.end_lineno - start > 45:
                    wrong.append(f"{path}:{node.lineno} {node.name}")
    assert wrong == []


def test_no_sql_longer_than_a_line_in_python() -> None:
    wrong = []
    for path, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if (
                re.match(r"\s*(SELECT|INSERT|CREATE|UPDATE|DELETE|COPY|WITH \w+ AS|FROM) ", text)
                and "\n" in text.strip()
            ):
                wrong.append(f"{path}:{node.lineno}")
    assert wrong == []


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
