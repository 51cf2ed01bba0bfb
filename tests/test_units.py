"""Which unit a node is, which feature space a graph is of, which graph a file is: by every fact that the file states."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import factories
import polars as pl
import pytest

from atlas.errors import GraphError, InputError, NothingReadable, SpaceMismatch
from atlas.graph import NodeKind
from atlas.graphs import Blob, parse_graph
from atlas.graphs.vocabularies import vocabulary_of
from atlas.ids import NeuronId
from atlas.pipeline import aggregate_graphs


def graph(nodes: list[dict], links: list[tuple[str, str, float]], **metadata: Any) -> dict:
    facts = {"slug": "s", "scan": "some-model", "prompt": "Hi", "prompt_tokens": ["Hi"], **metadata}
    made = [{"source": source, "target": target, "weight": weight} for source, target, weight in links]
    return {"metadata": facts, "qParams": {}, "nodes": nodes, "links": made}


def feature(node_id: str, layer: Any, **keys: Any) -> dict:
    return {"node_id": node_id, "feature_type": "cross layer transcoder", "layer": layer, "ctx_idx": 0, **keys}


def parsed(content: dict) -> Any:
    return parse_graph(Blob("a.json", json.dumps(content).encode()))


def units(found: Any) -> list[str]:
    keys = found.nodes.key[found.nodes.kind == NodeKind.NEURON]
    return [str(NeuronId.unpack(key)) for key in keys.tolist()]


@pytest.mark.parametrize(
    ("node", "unit", "oddity"),
    [
        (feature("3_12_0", "3"), "L3/N12", None),
        (feature("3_12", 3), "L3/N12", None),
        (feature("3_12_0", None), "L3/N12", None),
        (feature("3_12_0", "embedding"), "L3/N12", None),
        # The kind in the middle; `feature` is the Cantor pairing of both.
        (feature("0_cro_9_0", 0, feature=54), "L0/N9", None),
        (feature("1_cro_11_0", 1, feature=89), "L1/N11", None),
        (feature("4_plt_7", 4), "L4/N7", None),
        # Position first: layer, position and index agree with no other reading.
        (feature("1_0_12", "0", feature=12, ctx_idx=1), "L0/N12", "id_in_other_order"),
        (feature("2_3_700", 3, feature=700, ctx_idx=2), "L3/N700", "id_in_other_order"),
        (feature("2_3_700", 3, ctx_idx=2), "L3/N700", "id_in_other_order"),
        # An id of another tool that holds both numbers, which the keys name.
        (feature("feat_L5_P1_F1903", 5, feature=1903, ctx_idx=1), "L5/N1903", None),
        # No reading agrees with what the keys say.
        (feature("1_0_12", "7", ctx_idx=1), None, "contradictory_id"),
        (feature("1_0_12", "0", feature=13, ctx_idx=1), None, "contradictory_id"),
        (feature("0_cro_9_0", 0, feature=55), None, "bad_id"),
        (feature("0_cro_9_0", 3), None, "bad_id"),
        (feature("feat_L5_P1_F1903", 5), None, "bad_id"),
        (feature("feat_L5_P1_F1903", 6, feature=1903), None, "bad_id"),
        (feature("three", 3), None, "bad_id"),
    ],
)
def test_an_id_is_read_in_the_one_way_that_contradicts_nothing(
    node: dict, unit: str | None, oddity: str | None
) -> None:
    found = parsed(graph([feature("1_1_0", 1), node], [("1_1_0", node["node_id"], 1.0)]))
    assert units(found)[1:] == ([unit] if unit else [])
    assert found.node_oddities == (Counter({oddity: 1}) if oddity else Counter())
    assert found.dropped_links == (Counter() if unit else Counter(bad_id=1))


def test_types_that_are_not_aggregated_are_named() -> None:
    nodes = [
        feature("1_9_0", 1),
        {"node_id": "0_7_0", "feature_type": "lorsa", "layer": 0, "ctx_idx": 0},
        {"node_id": "0_8_0", "feature_type": "lorsa", "layer": 0, "ctx_idx": 0},
        {"node_id": "b", "feature_type": "bias\x1b[2J", "layer": 0, "ctx_idx": 0},
    ]
    found = parsed(graph(nodes, [("0_7_0", "1_9_0", 1.0), ("b", "1_9_0", 1.0), ("0_7_0", "b", 1.0)]))
    # The type of the first end, in the order in which types come.
    assert found.dropped_links == {"other_unit_type: lorsa": 2, "other_unit_type: bias�[2J": 1}
    assert found.node_oddities == {"other_unit_type: lorsa": 2, "other_unit_type: bias�[2J": 1}


def test_many_types_are_named_only_up_to_a_bound() -> None:
    nodes = [feature("1_9_0", 1)]
    nodes += [{"node_id": f"x{i}", "feature_type": f"type {i}" + "y" * 100, "layer": 0} for i in range(50)]
    found = parsed(graph(nodes, [(f"x{i}", "1_9_0", 1.0) for i in range(50)]))
    assert len(found.dropped_links) <= 17
    assert found.dropped_links.total() == 50
    assert max(map(len, found.dropped_links)) < 70


@pytest.mark.parametrize(
    ("nodes", "reason", "told"),
    [
        (
            [{"node_id": "0_7_0", "feature_type": "lorsa"}, {"node_id": "E_1_0", "feature_type": "embedding"}],
            "unknown_types",
            r"1 of 2 nodes are of a known type \(lorsa 1",
        ),
        ([feature("one", 1), feature("two", 2)], "unknown_ids", r"no id can be read \(bad_id 2\)"),
    ],
)
def test_a_graph_of_which_nothing_can_be_used_is_an_error(nodes: list[dict], reason: str, told: str) -> None:
    with pytest.raises(GraphError, match=told) as caught:
        parsed(graph(nodes, []))
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["sae_feature", "sae", "residual sae", "transcoder feature"])
def test_features_of_residual_stream_saes_are_features(kind: str) -> None:
    nodes = [{"node_id": f"{layer}_{layer}_0", "feature_type": kind, "layer": str(layer)} for layer in (1, 2)]
    found = parsed(graph(nodes, [("1_1_0", "2_2_0", 2.0)]))
    assert units(found) == ["L1/N1", "L2/N2"]
    assert found.info.space.unit_type == "feature"
    assert len(found.links.weight) == 1


def test_the_feature_space_is_known_from_every_place_that_names_it(tmp_path: Path) -> None:
    nodes, links = [feature("1_5_0", 1), feature("3_6_0", 3)], [("1_5_0", "3_6_0", 2.0)]
    for name in ("clt-hp", "gemmascope-transcoder-16k"):
        content = graph(nodes, links, slug=name, feature_details={"neuronpedia_source_set": name})
        factories.write(tmp_path / "both" / f"{name}.json", content)
        factories.write(tmp_path / name / f"{name}.json", content)
        aggregate_graphs([tmp_path / name], tmp_path / f"stats-{name}")
        space = json.loads((tmp_path / f"stats-{name}" / "manifest.json").read_text())["space"]
        assert space["transcoder_set"] == name
    with pytest.raises(SpaceMismatch, match=r"clt-hp.* and .*gemmascope-transcoder-16k"):
        aggregate_graphs([tmp_path / "both"], tmp_path / "stats")


def test_a_target_beyond_the_vocabulary_is_of_its_graph_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        logit = {"node_id": "27_256000_0", "feature_type": "logit", "layer": "27", "clerp": f'Output "{name}" (p=0.5)'}
        real = {"node_id": "27_255999_0", "feature_type": "logit", "layer": "27", "clerp": 'Output "x" (p=0.5)'}
        links = [("1_5_0", "27_256000_0", 2.0), ("1_5_0", "27_255999_0", 3.0)]
        content = graph([feature("1_5_0", 1), logit, real], links, scan="gemma-2-2b")
        factories.write(tmp_path / "g" / f"{name}.json", content)
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    assert (summary.graphs, summary.kept, summary.dropped) == (2, {"logit_edges": 2}, {"virtual_token": 2})
    assert pl.read_parquet(tmp_path / "stats" / "logit_edges")["token_id"].to_list() == [255_999]
    assert pl.read_parquet(tmp_path / "stats" / "tokens.parquet")["token_id"].to_list() == [255_999]


def test_vocabularies_are_known_by_the_name_of_the_model() -> None:
    assert vocabulary_of("google/gemma-2-2b") == vocabulary_of("gemma-2-2b") == 256_000
    assert vocabulary_of("meta-llama/Llama-3.2-1B") == 128_256
    assert vocabulary_of("Qwen3-4B") == 151_936
    assert vocabulary_of(None) is vocabulary_of("my-model") is None


def test_a_graph_is_known_by_what_it_says(tmp_path: Path) -> None:
    """Pins, indentation and edited labels make no other graph; another weight, prompt or run does."""
    content = factories.random_graph(1)
    texts = {
        "a": json.dumps(content),
        "b": json.dumps(content, indent=4),
        "c": json.dumps(content | {"qParams": {"pinnedIds": [content["nodes"][0]["node_id"]]}}),
        "d": json.dumps({key: content[key] for key in reversed(content)}),
    }
    other = json.loads(texts["a"])
    other["links"][0]["weight"] += 1
    texts["x"] = json.dumps(other)
    texts["y"] = json.dumps(content | {"metadata": content["metadata"] | {"prompt": "another"}})
    (tmp_path / "g").mkdir()
    for name, text in texts.items():
        (tmp_path / "g" / f"{name}.json").write_text(text)
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    assert (summary.graphs, summary.rejects) == (3, {"duplicate": 3})
    rejects = pl.read_parquet(tmp_path / "stats" / "rejects.parquet")
    assert set(rejects["message"]) == {"the same graph as g/a.json"}


@pytest.mark.parametrize("weight", ["-0", "-0.0", "0", "-0e5"])
def test_a_zero_has_one_sign(weight: str, tmp_path: Path) -> None:
    text = json.dumps(graph([feature("1_5_0", 1), feature("2_6_0", 2)], [("1_5_0", "2_6_0", 123.5)]))
    for name, changed in {"clean": text, "tolerant": text.replace('"Hi"]', '"Hi"], "x": NaN')}.items():
        found = parse_graph(Blob("a.json", changed.replace("123.5", weight).encode()))
        assert str(found.links.weight.tolist()) == "[0.0]", name


@pytest.mark.parametrize("weight", ["1e400", "-1e400", "1" + "0" * 400, "-1" + "0" * 5000, "Infinity", "NaN"])
def test_a_number_beyond_every_float_is_not_finite(weight: str) -> None:
    text = json.dumps(graph([feature("1_5_0", 1), feature("2_6_0", 2)], [("1_5_0", "2_6_0", 123.5)]))
    found = parse_graph(Blob("a.json", text.replace("123.5", weight).encode()))
    assert found.dropped_links == {"non_finite_weight": 1}


def test_the_reason_of_unreadable_files_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    for number in range(5):
        (tmp_path / "g" / f"{number}.json").write_text('{"nodes": [], "edges": []}')
    with pytest.raises(NothingReadable) as caught:
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    said = str(caught.value)
    assert "5 not_a_graph" in said
    assert "g/0.json: no list of nodes and list of links; found keys nodes, edges" in said
    assert "and 2 more; all of them are in stats.rejects.parquet" in said
    assert len(pl.read_parquet(tmp_path / "stats.rejects.parquet")) == 5
    assert not (tmp_path / "stats").exists()
    assert not (tmp_path / ".stats.work").exists()


def test_a_file_that_is_gone_when_it_is_read_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.pipeline import aggregation as pipeline_graphs

    for seed in range(3):
        factories.write(tmp_path / "g" / f"{seed}.json", factories.random_graph(seed))
    real = pipeline_graphs.find_inputs

    def find(paths: Any) -> Any:
        found = real(paths)
        (tmp_path / "g" / "1.json").unlink()
        return found

    monkeypatch.setattr(pipeline_graphs, "find_inputs", find)
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert (summary.graphs, summary.rejects) == (2, {"unreadable": 1})


def test_paths_as_people_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for folder in ("x[1]", "plain"):
        factories.write(tmp_path / folder / "a.json", factories.random_graph(1))
    assert aggregate_graphs([str(tmp_path / "x[1]" / "*.json")], tmp_path / "one").graphs == 1
    assert aggregate_graphs([str(tmp_path / "x[1]")], tmp_path / "two").graphs == 1
    monkeypatch.setenv("HOME", str(tmp_path))
    assert aggregate_graphs(["~/plain"], tmp_path / "three").graphs == 1
    for text, told in {
        "https://example.org/g": "https://example.org/g: addresses are not fetched",
        "-": "cannot read from a pipe",
        "no*thing": "no file matches",
    }.items():
        with pytest.raises(InputError, match=told.replace("*", r"\*")):
            aggregate_graphs([text], tmp_path / "four")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is a pipe or device"):
        aggregate_graphs([tmp_path / "pipe.json"], tmp_path / "four")
