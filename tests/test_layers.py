"""The house of DESIGN section 3: imports point down, siblings do not meet, heavy imports stay away."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from conftest import ROOT

# DESIGN section 3, from the ground up. Folders of one layer do not import each other.
LAYERS = [
    {"_version", "errors"},
    {"ids", "options"},
    {"graph"},
    {"io"},
    {"runtime"},
    {"stages", "graphs", "models"},
    {"trace", "aggregate", "wiring", "activations", "cluster", "circuits", "labels", "importers"},
    {"database"},
    {"query", "pipeline"},
    {"web"},
    {"cli"},
    {"__main__"},
]
HEAVY = {
    # graphs, io and importers read .pt files, inside the function that does
    "torch": {
        "io",
        "aggregate",
        "runtime",
        "graphs",
        "models",
        "trace",
        "activations",
        "circuits",
        "wiring",
        "importers",
    },
    "numpy": {
        "aggregate",
        "runtime",  # beside numba
        "graphs",
        "models",
        "trace",
        "activations",
        "wiring",
        "cluster",
        "circuits",
        "graph",
        "importers",
        "stages",
        "io",
    },
    "transformers": {"models", "importers"},
    "tokenizers": {"importers"},
    "safetensors": {"models", "wiring", "importers", "activations", "io"},
    "zarr": {"stages", "activations"},
    "matplotlib": {"io"},
    "wandb": {"pipeline"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "msgspec": {"graphs", "pipeline"},
    "numba": {"aggregate", "runtime", "graphs", "importers"},
    "distributed": {"runtime"},
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


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a module, which several tests walk."""
    return ast.parse(path.read_text())


def modules() -> list[tuple[str, str, ast.Module]]:
    """Path, unit (folder or module of the first level) and syntax tree of every module."""
    return [(str(path.relative_to(ROOT)), unit_of(path), tree_of(path)) for path in MODULES]


def test_imports_point_down() -> None:
    level = {unit: number for number, layer in enumerate(LAYERS) for unit in layer}
    wrong = []
    for path, unit, tree in modules():
        for name in imports(tree):
            if not name.startswith("atlas.") or unit == "__init__":
                continue
            other = name.split(".")[1]
            if other != unit and not level[other] < level[unit]:
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
        "from click.testing import CliRunner\nfrom atlas.cli.main import main\nassert CliRunner().invoke(main, ['--help']).exit_code == 0"
    )
    assert not loaded & {"torch", "numpy", "duckdb", "polars", "pyarrow", "infomap", "msgspec"}


def test_asking_an_atlas_needs_no_torch_numpy_or_msgspec(small_atlas: Path) -> None:
    code = f"import atlas\nwith atlas.open({str(small_atlas)!r}) as a: assert a.neurons(limit=3).fetchall()"
    assert not loaded_by(code) & {"torch", "infomap", "msgspec"}


def test_no_module_imports_itself_over_others() -> None:
    """Also not lazily, inside a function: a circle has no layer."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }
    graph = {name: _imported(path, modules) for name, path in modules.items()}
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys() - {name}]:
        for name in leaves:
            del graph[name]
    # What is left lies on a circle, or needs one that does.
    needed = set().union(*graph.values()) if graph else set()
    assert sorted(graph.keys() & needed) == []


def _imported(path: Path, modules: Collection[str]) -> set[str]:
    """The modules that a file imports, also inside functions; imports for type checkers alone do not run."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name if name in modules else node.module for name in names} & set(modules)
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names} & set(modules)
            waiting.append(node)
    return found


def test_annotations_say_what_a_value_is() -> None:
    """A bare `Any` is for what has no better type; 3 % of all annotations at most."""
    annotations = [found for path in MODULES for found in _annotations(path)]
    bare = [
        f"{place}" for place, annotation in annotations if isinstance(annotation, ast.Name) and annotation.id == "Any"
    ]
    assert len(annotations) > 4000
    assert len(bare) / len(annotations) < 0.03, bare


def _annotations(path: Path) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            found = [node.returns, *(argument.annotation for argument in named if argument is not None)]
        else:
            found = [node.annotation] if isinstance(node, ast.AnnAssign) else []
        yield from ((f"{path.name}:{node.lineno}", annotation) for annotation in found if annotation is not None)
