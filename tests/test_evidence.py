"""Weights beside graphs in one atlas, and an atlas of weights alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import factories
from click.testing import CliRunner
from test_wiring import LAYERS, NEURONS, make_model

from atlas.cli.main import main
from atlas.database import open_atlas, run_checks
from atlas.errors import RecipeError
from atlas.pipeline import run_recipe
from atlas.pipeline.recipe import load_recipe


def random_graph(seed: int) -> dict[str, Any]:
    """Neurons of the model of test_wiring with activations of either sign, and links that go up."""
    import random

    rng = random.Random(seed)
    cells = sorted({(rng.randrange(LAYERS), rng.randrange(NEURONS), rng.randrange(3)) for _ in range(40)})
    nodes = [factories.relp_node(*cell, activation=rng.gauss(0, 1), influence=1.0) for cell in cells]
    ids = [node["node_id"] for node in nodes]
    pairs = [(a, b) for a, source in enumerate(cells) for b, target in enumerate(cells) if source[0] < target[0]]
    links = [factories.link(ids[a], ids[b], rng.gauss(0, 1)) for a, b in rng.sample(pairs, 150)]
    return factories.relp_graph(nodes, links)


def build(folder: Path, sections: str) -> Any:
    (folder / "r.toml").write_text(f'output = "{folder}/a.duckdb"\n{sections}')
    return run_recipe(load_recipe(folder / "r.toml"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    make_model(folder / "model")
    for seed in range(8):
        factories.write(folder / "graphs" / f"{seed}.json", random_graph(seed))
    build(folder, f'[graphs]\npaths = "{folder}/graphs"\n[wire]\nmodel = "{folder}/model"\ntop_connections = 3\n[[cluster]]\nmin_count = 1\ntrials = 1\n')  # fmt: skip
    return folder / "a.duckdb"


def rows(file: Path, sql: str) -> list[dict[str, Any]]:
    with open_atlas(file) as con:
        return con.sql(sql).pl().to_dicts()


def test_every_pair_is_there_once_with_what_is_known_of_it(both: Path) -> None:
    key = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
    edges = {tuple(row[name] for name in key): row for row in rows(both, "FROM edges")}
    connections = {tuple(row[name] for name in key): row for row in rows(both, "FROM connections")}
    derivative = {tuple(row[name] for name in key): row["mean_derivative"] for row in rows(both, "FROM edge_strengths")}
    assert {row["method"] for row in edges.values()} == {"relp"}
    found = {tuple(row[name] for name in key): row for row in rows(both, "FROM edge_evidence")}
    assert found.keys() == edges.keys() | connections.keys()
    for pair, row in found.items():
        observed, wired = edges.get(pair), connections.get(pair)
        assert row["evidence"] == ("both" if observed and wired else "observed only" if observed else "weights only")
        assert row["count"] == (observed and observed["count"])
        assert row["strength"] == (wired and wired["strength"])
        assert row["observed"] == derivative.get(pair)
        if observed and wired and wired["strength"] is not None:
            assert row["same_sign"] == (derivative[pair] * wired["strength"] > 0)
        else:
            assert row["same_sign"] is None
    assert {row["evidence"] for row in found.values()} == {"both", "observed only", "weights only"}


def test_agreement_by_layers_is_its_definition(both: Path) -> None:
    known = {(row["layer"], row["neuron"]) for row in rows(both, "FROM neurons")}
    pairs = [row for row in rows(both, "FROM edge_evidence") if (row["src_layer"], row["src_neuron"]) in known and (row["tgt_layer"], row["tgt_neuron"]) in known]  # fmt: skip
    found = rows(both, "FROM evidence_by_layers")
    assert [(row["src_layer"], row["tgt_layer"]) for row in found] == [(a, b) for a in range(LAYERS) for b in range(a + 1, LAYERS)]  # fmt: skip
    for row in found:
        mine = [
            pair for pair in pairs if (pair["src_layer"], pair["tgt_layer"]) == (row["src_layer"], row["tgt_layer"])
        ]
        agreed = [pair for pair in mine if pair["evidence"] == "both"]
        observed = sum(pair["evidence"] != "weights only" for pair in mine)
        wired = sum(pair["evidence"] != "observed only" for pair in mine)
        assert (row["observed_count"], row["connection_count"], row["both_count"]) == (observed, wired, len(agreed))
        sizes = [sum(layer == row[end] for layer, _ in known) for end in ("src_layer", "tgt_layer")]
        assert row["lift"] == pytest.approx(len(agreed) * math.prod(sizes) / (observed * wired), rel=1e-5)
        signed = [pair for pair in agreed if pair["predicted"] is not None]
        assert 0 < len(signed) < len(agreed)
        assert row["sign_agreement"] == pytest.approx(sum(pair["same_sign"] for pair in signed) / len(signed), rel=1e-5)
        expected = spearman([(abs(pair["observed"]), abs(pair["predicted"])) for pair in signed])
        assert row["rank_correlation"] == pytest.approx(expected, abs=1e-5)


def spearman(pairs: list[tuple[float, float]]) -> float:
    first, second = ([sorted(values).index(value) for value in values] for values in zip(*pairs, strict=True))
    mean = (len(pairs) - 1) / 2
    above = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    return above / math.sqrt(sum((a - mean) ** 2 for a in first) * sum((b - mean) ** 2 for b in second))


def test_checks_pass(both: Path) -> None:
    with open_atlas(both) as con:
        assert all(result.passed for result in run_checks(con))


@pytest.mark.slow
def test_an_atlas_of_weights_alone(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    recipe = f'[wire]\nmodel = "{model}"\ntop_connections = 2\n[[cluster]]\nmin_count = 1\ntrials = 1\n'
    first = build(tmp_path, recipe)
    assert [stage.name for stage in first.stages if stage.ran] == ["wiring", "clusters-infomap", "labels", "atlas"]
    assert not [stage.name for stage in build(tmp_path, recipe).stages if stage.ran]
    again = build(tmp_path, recipe.replace("top_connections = 2", "top_connections = 2\nfold_norms = true"))
    assert again.stages[0].ran
    atlas = tmp_path / "a.duckdb"
    assert rows(atlas, "SELECT count(*) AS n FROM neurons") == [{"n": LAYERS * NEURONS}]
    assert rows(atlas, "SELECT DISTINCT method FROM edges") == [{"method": "weight_graph"}]
    assert rows(atlas, "SELECT DISTINCT evidence FROM edge_evidence") == [{"evidence": "weights only"}]
    page = CliRunner().invoke(main, ["neuron", str(atlas), "L0/N3", "--limit", "2"]).stdout
    assert "Downstream (share: of its own graphs): 2 of" in page
    with open_atlas(atlas) as con:
        assert all(result.passed for result in run_checks(con))


def test_a_recipe_needs_something_to_build_from(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError,
        match=r"names no input; give one of .* one of \[wire\] \(with model\) and \[\[imports\]\] of a wiring-cache",
    ):
        build(tmp_path, "")
