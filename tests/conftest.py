from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import factories
import profiles  # noqa: F401 (loads the profile)
import pytest
from fork_server import HEAVY, HEAVY_COMMANDS, LIGHT, ForkServer

from atlas.aggregate import Summary
from atlas.aggregate import plan as plan_module
from atlas.circuits import anchored_circuits
from atlas.cluster import ClusterOptions, cluster
from atlas.database import Inputs, StoreInputs, build_database
from atlas.labels import LabelFile, import_labels
from atlas.options import CircuitOptions
from atlas.pipeline import aggregate_graphs, run_recipe
from atlas.pipeline.recipe import load_recipe

# Tests ask no server; the hub's library would try for half a minute where there is no network.
os.environ["HF_HUB_OFFLINE"] = "1"
# As atlas.trace does; tests import torch themselves before it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: $ATLAS_TEST_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("ATLAS_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "graphs").is_dir():
        pytest.skip(f"no real data: set ATLAS_TEST_DATA to a folder with graphs/ and labels/ (looked in {folder})")
    return folder


@pytest.fixture(scope="session")
def real_graphs(data: Path) -> list[Path]:
    return sorted((data / "graphs" / "gemma-2-2b_clt-hp").glob("*.json.gz"))


def stats_of(folder: Path, graphs: list[dict], name: str = "graphs", **options: object) -> Summary:
    """Write graphs as files below `folder` and aggregate them into folder/stats."""
    for number, graph in enumerate(graphs):
        factories.write(folder / name / f"graph_{number:05d}.json", graph)
    return aggregate_graphs([folder / name], folder / "stats", **options)


@pytest.fixture
def aggregate_made(tmp_path: Path) -> Callable[..., Path]:
    """Aggregates graphs given as dictionaries and returns the stats folder."""

    def run(graphs: list[dict], **options: object) -> Path:
        stats_of(tmp_path, graphs, **options)
        return tmp_path / "stats"

    return run


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once for all test processes of a run; the others wait for it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / f"shared-{name}"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = base / f"fresh-{name}"
            make(fresh)
            fresh.rename(folder)
    return folder


@pytest.fixture(scope="session")
def small_atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of random graphs with clusters and labels; read only, copy it to change it."""
    return made_once(tmp_path_factory, "small", make_small_atlas) / "small.duckdb"


# Some of the prompts and few cuts in the model: a tenth of the time.
DEMO_SETTINGS = [
    "trace.ablations=40",
    "trace.limit=90",
    "trace.seed=1",
    "project.effects=8",
    "circuits.min_graphs=5",
    "circuits.size=5",
    "verify.most=4",
    "cluster.min_count=5",
    "cluster.trials=2",
    "cluster.trust=false",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the demo as slow: building it takes as long as two hundred other tests."""
    for item in items:
        if {"demo", "whole_demo"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo was built of a part of its prompts; read only."""
    pytest.importorskip("transformers")
    return made_once(tmp_path_factory, "demo", lambda folder: make_demo(folder, DEMO_SETTINGS))


@pytest.fixture(scope="session")
def whole_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo was built as `make atlas` builds it; read only."""
    pytest.importorskip("transformers")
    return made_once(tmp_path_factory, "whole-demo", lambda folder: make_demo(folder, []))


def make_demo(folder: Path, settings: list[str]) -> None:
    recipe = ROOT / "build" / "demo.toml"
    run_recipe(load_recipe(recipe, settings, output=folder / "out" / "demo.duckdb"), recipe_path=recipe)


def make_small_atlas(folder: Path) -> None:
    graphs = [factories.random_graph(seed, neurons=20, links=120) for seed in range(30)]
    stats_of(folder, graphs)
    quick = {"min_count": 2, "min_groups": 1, "seeds": 2, "resamples": 3, "splits": 2, "draws": 100}
    cluster(folder / "stats", folder / "clusters", ClusterOptions(trials=3, **quick))
    soft = ClusterOptions(method="nmf", clusters=4, weight="mean_abs_weight", trust=False, **quick)
    cluster(folder / "stats", folder / "factors", soft)
    anchored_circuits(
        folder / "stats", folder / "circuits", CircuitOptions(min_graphs=2, min_groups=2, size=3, grow=1, resamples=4)
    )
    factories.write_effects(folder / "circuits", folder / "verify")
    labels = folder / "labels.csv"
    labels.write_text(
        "layer,neuron,label,kind,description,confidence,interpretability,type\n"
        "1,2,100% sure_thing,output,It is sure,high,low,semantic\n"
        "1,2,digits,input,,low,high,context\n"
        "2,3,uninterpretable,output,,,low,\n"
        "99,5,nowhere,output,,,,\n"
    )
    import_labels([LabelFile(labels, source="made"), LabelFile(folder / "stats")], folder / "labels")
    factories.write_projections(folder / "projections")
    factories.write_connections(folder / "stats")
    factories.write_traced_facts(folder / "stats")
    factories.write_reports(folder / "reports")
    factories.write_activations(folder)
    factories.write_features(folder / "features")
    inputs = Inputs(
        folder / "stats",
        [folder / "clusters", folder / "factors"],
        folder / "labels",
        folder / "projections",
        reports=folder / "reports",
        circuits=folder / "circuits",
        effects=folder / "verify",
        stores=[
            StoreInputs(folder / "store", folder / "measures", folder / "features"),
            StoreInputs(folder / "neuron_store", folder / "neuron_measures"),
        ],
    )
    build_database(folder / "small.duckdb", inputs)


@pytest.fixture(scope="session")
def atlas_command() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs `atlas ...` in a process of its own, forked from one that has the libraries loaded."""
    servers: dict[bool, ForkServer] = {}

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        texts = [str(argument) for argument in arguments]
        heavy = texts[0] in HEAVY_COMMANDS
        if heavy not in servers:
            servers[heavy] = ForkServer([*LIGHT, *(HEAVY if heavy else ())])
        return servers[heavy].run(texts, **options)

    yield run
    for server in servers.values():
        server.close()


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and ranges of a hundred rows, and early sums from the start, so that little data takes every path."""
    monkeypatch.setattr(plan_module.Budget, "of", classmethod(lambda cls, memory, device="cpu": cls(100)))
    monkeypatch.setattr(plan_module, "COMBINE_LINKS", 0)
    monkeypatch.setattr("atlas.aggregate.map.observation_plan.COMBINE_LINKS", 0)
