"""The recipes of the published atlases on generated files of their forms, and the label reports with the published shares."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
import legacy_factories
import pytest
from conftest import ROOT
from legacy_factories import Corpus

from atlas.database import Inputs, build_database
from atlas.importers.checkpoint import import_checkpoint
from atlas.labels import LabelFile, import_labels
from atlas.pipeline.recipe import load_recipe

# Whole recipes: each part of them has quick tests of its own.
pytestmark = pytest.mark.slow
CORPUS = Corpus(graphs=30, layers=4, neurons=12, links=40)


def build(atlas_command, data: Path, name: str, out: Path) -> Path:
    import os

    environment = os.environ | {"DATA": str(data)}
    done = atlas_command("build", ROOT / "build" / f"{name}.toml", "-o", out / f"{name}.duckdb", env=environment)
    assert done.returncode == 0, done.stderr
    assert atlas_command("check", out / f"{name}.duckdb").returncode == 0
    return out / f"{name}.duckdb"


def ask(path: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(sql).fetchall()


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def function_database(neurons: list) -> dict:
    return {
        "neurons": {
            f"L{layer}/N{neuron}": {"neuron_id": f"L{layer}/N{neuron}", "layer": layer, "neuron_idx": neuron, "function_label": f"says {neuron}",
                                    "function_description": "d", "confidence": "high", "interpretability": "high", "function_type": "semantic",
                                    "input_label": f"reads {neuron}", "input_interpretability": "medium"}
            for layer, neuron in neurons
        },
        "metadata": {"total_neurons": len(neurons)},
    }  # fmt: skip


def test_llama_and_its_medical_domain_and_their_comparison(tmp_path: Path, atlas_command) -> None:
    enriched = legacy_factories.edge_stats(CORPUS, enriched=True)
    write(tmp_path / "fineweb_50k_edge_stats_enriched.json", enriched)
    medical = legacy_factories.edge_stats(Corpus(graphs=20, layers=4, neurons=12, links=40, seed=8), enriched=True)
    write(tmp_path / "medical_edge_stats_v6_enriched.json", medical)
    neurons = sorted(CORPUS.neurons)
    write(tmp_path / "neuron_labels_combined.json", function_database(neurons[:10]))
    flat, _ = legacy_factories.assignments(neurons, form="llama")
    write(tmp_path / "llama8b_infomap_full_edges.json", flat)
    atlas = build(atlas_command, tmp_path, "llama31-8b", tmp_path / "out")
    assert ask(atlas, "SELECT count(*), count(label), count(top_cluster) FROM neurons") == [
        (len(neurons), len(neurons), len(neurons))
    ]
    assert ask(atlas, "SELECT label_source, count(*) FROM neurons GROUP BY ALL ORDER BY ALL") == [
        ("gpt", 10),
        ("transluce", len(neurons) - 10),
    ]
    assert dict(ask(atlas, "SELECT role, count(*) FROM sources GROUP BY ALL")) == {
        "edge-stats": 1,
        "projections": 1,
        "assignments": 1,
        "labels": 2,
        "recipe": 1,
    }
    other = build(atlas_command, tmp_path, "medical-v6", tmp_path / "out")
    done = atlas_command("compare", other, atlas, "-o", tmp_path / "out" / "compare.duckdb")
    assert (done.returncode, "20 and 30 graphs" in done.stderr) == (0, True)


def test_olmo_has_the_published_number_of_edges(tmp_path: Path, atlas_command) -> None:
    layers, width, top = 3, 40, 3
    legacy_factories.wiring_cache(tmp_path / "olmo3_wiring_cache", layers=layers, width=width, top=top)
    labels = {
        f"L{layer}/N{neuron}": {
            "label": f"long {neuron}",
            "short_label": f"short {neuron}",
            "type": "semantic",
            "input_label": "in",
        }
        for layer in range(layers)
        for neuron in range(width)
    }
    write(tmp_path / "olmo3_enriched_labels.json", labels)
    atlas = build(atlas_command, tmp_path, "olmo3-7b", tmp_path / "out")
    # 341,248 x 20 at full size: every neuron but those of the last layer, top of both polarities.
    assert ask(atlas, "SELECT count(*) FROM connections WHERE listed_by <> 'target'") == [
        ((layers - 1) * width * top * 2,)
    ]
    assert ask(atlas, "SELECT count(*), count(label) FROM neurons") == [(layers * width,) * 2]
    assert ask(atlas, "SELECT DISTINCT method FROM edges") == [("weight_graph",)]


def test_qwen_from_its_checkpoint(tmp_path: Path, atlas_command) -> None:
    CORPUS.write(tmp_path / "latest.dat", texts=True)
    neurons = sorted(CORPUS.neurons)
    value, paths = legacy_factories.assignments(neurons)
    write(tmp_path / "qwen32b_infomap_assignments.json", value)
    with (tmp_path / "labels.jsonl").open("w") as stream:
        for layer, neuron in neurons:
            label = {
                "label": f"tokens {neuron}",
                "metadata": {"parsed_response": {"label": f"tokens {neuron}", "description": "d"}},
            }
            about = {"layer": layer, "neuron": neuron, "num_exemplars": 20, "max_activation": 1.5}
            stream.write(json.dumps({"feature_id": 1, "labels": [label], "feature_metadata": about}) + "\n")
    atlas = build(atlas_command, tmp_path, "qwen3-32b", tmp_path / "out")
    import os

    again = atlas_command("build", "qwen3-32b", "-o", atlas, env=os.environ | {"DATA": str(tmp_path)})
    assert again.stderr.count("up to date") == 4, again.stderr
    frequent = sum(values[0] >= 3 for values in CORPUS.edges.values())
    assert ask(atlas, "SELECT count(*), min(count) FROM edges") == [(frequent, 3)]
    assert ask(atlas, "SELECT count(*), count(label), max(num_exemplars) FROM neurons") == [
        (len(neurons), len(neurons), 20)
    ]
    assert ask(atlas, "SELECT max(level) FROM clusters") == [(max(map(len, paths.values())),)]


def test_an_older_atlas_is_rebuilt_by_one_target(tmp_path: Path, atlas_command) -> None:
    legacy_factories.older_atlas(tmp_path / "older.duckdb", CORPUS)
    atlas = build(atlas_command, tmp_path / "older.duckdb", "legacy-atlas", tmp_path / "out")
    assert ask(atlas, "SELECT DISTINCT stat_quality FROM edges") == [("rounded",)]
    assert ask(atlas, "SELECT count(*), count(label), count(top_cluster) FROM neurons") == [(len(CORPUS.neurons),) * 3]


def test_missing_inputs_are_listed_all_at_once(tmp_path: Path, atlas_command) -> None:
    import os

    (tmp_path / "labels.jsonl").write_text("{}")
    done = atlas_command("build", "qwen3-32b", "-o", tmp_path / "q.duckdb", env=os.environ | {"DATA": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs 2 inputs that are not there" in done.stderr
    assert f"{tmp_path}/latest.dat (checkpoint: 38 GB" in done.stderr
    assert "assignments: 33 MB" in done.stderr
    assert not list(tmp_path.glob("q.*"))


@pytest.mark.parametrize(
    "name",
    ["llama31-8b", "llama31-8b-graphs", "olmo3-7b", "olmo3-7b-weights", "qwen3-32b", "medical-v6", "legacy-atlas"],
)
def test_every_input_of_the_recipes_says_what_it_is(name: str) -> None:
    recipe = load_recipe(ROOT / "build" / f"{name}.toml", (), {"DATA": "/data"})
    given = [*recipe.imports, *recipe.labels.files, *([recipe.graphs] if recipe.graphs else [])]
    assert all(item.description for item in given)


# Published for Llama: two-pass labels of 45,035 neurons (FORMATS section 13).
SHARES = {
    ("output", "interpretability"): {"high": 33.2, "medium": 41.4, "low": 25.4},
    ("input", "interpretability"): {"high": 48.3, "medium": 51.7},
    ("output", "type"): {"routing": 33.8, "lexical": 31.6, "semantic": 27.8, "formatting": 3.2, "structural": 3.6},
    ("input", "type"): {"combination": 79.0, "token-pattern": 15.6, "context": 3.2, "position": 2.2},
}
TOTAL, LOW_HIGH = 45_035, 6_604


def dealt(shares: dict[str, float], rng: random.Random) -> list[str]:
    words = [word for word, share in shares.items() for _ in range(round(share * TOTAL / 100))]
    words += [next(iter(shares))] * (TOTAL - len(words))
    rng.shuffle(words)
    return words[:TOTAL]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """An atlas with labels of the published shares; 27.7 % of its neurons have one."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = random.Random(3)
    columns = {key: dealt(shares, rng) for key, shares in SHARES.items()}
    # Low output and high input at once in as many neurons as published.
    output, given = columns["output", "interpretability"], columns["input", "interpretability"]
    both = [place for place in range(TOTAL) if output[place] == "low" and given[place] == "high"]
    others = [place for place in range(TOTAL) if output[place] == "low" and given[place] != "high"]
    spare = [place for place in range(TOTAL) if output[place] != "low" and given[place] == "high"]
    for a, b in zip(others, spare, strict=False):
        if len(both) >= LOW_HIGH:
            break
        given[a], given[b] = given[b], given[a]
        both.append(a)
    for a in both[LOW_HIGH:]:
        swap = next(place for place in range(TOTAL) if output[place] != "low" and given[place] != "high")
        given[a], given[swap] = given[swap], given[a]
    rows = []
    for place in range(TOTAL):
        text = f"label {place}" if place < TOTAL * 0.719 else f"label {place % 50}"
        rows.append(
            {"neuron_id": f"L{place % 32}/N{place // 32}", "layer": place % 32, "neuron_idx": place // 32, "function_label": text, "interpretability": output[place],
             "function_type": columns["output", "type"][place], "input_label": f"input {place}", "input_interpretability": given[place],
             "input_type": columns["input", "type"][place]}
        )  # fmt: skip
    write(folder / "db.json", {"neurons": {row["neuron_id"]: row for row in rows}})
    import_labels([LabelFile(folder / "db.json", source="gpt")], folder / "labels")
    small = Corpus(graphs=3, layers=4, neurons=6)
    import_checkpoint(small.write(folder / "latest.dat"), folder / "stats")
    return build_database(folder / "a.duckdb", Inputs(folder / "stats", labels=folder / "labels")).path, rows


def test_interpretability_and_types_have_the_published_shares(labelled) -> None:
    path, rows = labelled
    keys = {
        "interpretability": {"output": "interpretability", "input": "input_interpretability"},
        "type": {"output": "function_type", "input": "input_type"},
    }
    for what, view in (("interpretability", "label_interpretability"), ("type", "label_types")):
        found = {
            (kind, word): (count, share)
            for source, kind, word, count, share in ask(path, f"FROM {view}")
            if source == "gpt"
        }
        for kind in ("output", "input"):
            for word, share in SHARES[kind, what].items():
                twin = sum(row[keys[what][kind]] == word for row in rows)
                assert found.pop((kind, word)) == (twin, pytest.approx(twin / TOTAL, rel=1e-6))
                assert twin / TOTAL == pytest.approx(share / 100, abs=0.002)
        assert not found


def test_uniqueness_counts_texts_once(labelled) -> None:
    path, rows = labelled
    found = {kind: rest for _, kind, *rest in ask(path, "FROM label_uniqueness")}
    for kind, key in (("output", "function_label"), ("input", "input_label")):
        texts: dict[str, int] = {}
        for row in rows:
            texts[row[key]] = texts.get(row[key], 0) + 1
        once = sum(count == 1 for count in texts.values())
        assert found[kind] == [TOTAL, len(texts), pytest.approx(len(texts) / TOTAL), once, pytest.approx(once / TOTAL)]
    assert found["output"][4] == pytest.approx(0.719, abs=0.002)
    assert found["input"][2] == 1


def test_low_outputs_with_high_inputs_are_listed(labelled) -> None:
    path, rows = labelled
    expected = sorted(
        (row["layer"], row["neuron_idx"], row["input_label"], row["function_label"])
        for row in rows
        if row["interpretability"] == "low" and row["input_interpretability"] == "high"
    )
    assert len(expected) == LOW_HIGH
    assert ask(path, "SELECT layer, neuron, input_label, output_label FROM low_output_high_input") == expected


def test_coverage_counts_neurons_of_the_atlas(labelled) -> None:
    path, rows = labelled
    neurons = ask(path, "SELECT layer, neuron FROM neurons")
    known = {(row["layer"], row["neuron_idx"]) for row in rows}
    for layer, total, labelled_count, share in ask(path, "FROM label_coverage"):
        mine = [neuron for neuron in neurons if neuron[0] == layer]
        assert (total, labelled_count) == (len(mine), sum(neuron in known for neuron in mine))
        assert share == pytest.approx(labelled_count / total)
