"""circuit-tracer .pt files: the same graph as the JSON, and nothing of the file is run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from atlas.errors import GraphError
from atlas.graph import Graph, NodeKind, Space
from atlas.graphs import Blob, parse_graph
from atlas.ids import NeuronId

# 3 active features of which 2 are selected, 2 layers, 2 tokens, 1 logit -> 2 + 4 + 2 + 1 = 9 nodes
ACTIVE = torch.tensor([[0, 0, 11], [0, 1, 12], [1, 1, 13]])
SELECTED = torch.tensor([2, 0])


def content(**changes: Any) -> dict[str, Any]:
    adjacency = torch.zeros(9, 9)
    adjacency[0, 1] = 0.5  # source feature (0, 11) -> target feature (1, 13): rows are targets
    adjacency[0, 2] = -0.25  # error of layer 0, position 0 -> feature (1, 13)
    adjacency[1, 6] = 2.0  # token 101 -> feature (0, 11)
    adjacency[8, 0] = 1.5  # feature (1, 13) -> logit
    return {
        "input_string": "ab",
        "input_tokens": torch.tensor([101, 102]),
        "logit_targets": torch.tensor([77]),
        "logit_probabilities": torch.tensor([0.9]),
        "active_features": ACTIVE,
        "selected_features": SELECTED,
        "activation_values": torch.tensor([1.0, 2.0, 3.0]),
        "adjacency_matrix": adjacency,
        "scan": "gemma",
        "cfg": {"n_layers": 2},
        "vocab_size": 200,
        **changes,
    }


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def read(value: Any) -> Graph:
    return parse_graph(Blob("graph.pt", saved(value)))


def test_nodes_and_links_in_source_to_target_direction() -> None:
    graph = read(content())
    assert [NodeKind(kind).name for kind in graph.nodes.kind] == ["NEURON"] * 2 + ["ERROR"] * 4 + ["TOKEN"] * 2 + [
        "LOGIT"
    ]
    assert [NeuronId.unpack(int(key)) for key in graph.nodes.key[:2]] == [(1, 13), (0, 11)]
    assert graph.nodes.position.tolist() == [1, 0, 0, 1, 0, 1, 0, 1, 1]
    assert graph.nodes.activation[:2].tolist() == [3.0, 1.0]  # stored for active features, wanted for selected
    assert graph.nodes.key[2:].tolist() == [0, 0, 1, 1, 101, 102, 77]
    assert graph.nodes.probability[-1] == pytest.approx(0.9)
    found = sorted(
        zip(graph.links.source.tolist(), graph.links.target.tolist(), graph.links.weight.tolist(), strict=True)
    )
    assert found == [(0, 8, 1.5), (1, 0, 0.5), (2, 0, -0.25), (6, 1, 2.0)]
    assert graph.info.space == Space("gemma", None, "feature")
    assert graph.link_total == 4


def test_activations_stored_for_the_selected_features_only() -> None:
    assert read(content(activation_values=torch.tensor([8.0, 9.0]))).nodes.activation[:2].tolist() == [8.0, 9.0]


@pytest.fixture
def foreign_classes(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Classes as newer circuit-tracer files hold them; importable when saving, gone when reading."""

    class LogitTarget(NamedTuple):
        token_str: str
        vocab_idx: int

    class Config:
        def __init__(self) -> None:
            self.n_layers = 2

    for item, module in ((LogitTarget, "circuit_tracer.attribution.targets"), (Config, "transformer_lens.config")):
        item.__module__, item.__qualname__ = module, item.__name__
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:length]), types.ModuleType(parts[length - 1]))
        setattr(sys.modules[module], item.__name__, item)
    return types.SimpleNamespace(LogitTarget=LogitTarget, Config=Config)


def test_classes_of_circuit_tracer_become_inert_records(foreign_classes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(content(logit_targets=[foreign_classes.LogitTarget(" rain", 77)], cfg=foreign_classes.Config()))
    for module in ("circuit_tracer.attribution.targets", "transformer_lens.config"):
        monkeypatch.delitem(sys.modules, module)
    graph = parse_graph(Blob("graph.pt", data))
    assert graph.nodes.key[-1] == 77
    assert graph.nodes.text[-1] == " rain"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/atlas-was-here",)


def test_a_file_that_would_run_code_is_refused_and_names_the_function() -> None:
    marker = Path("/tmp/atlas-was-here")
    marker.unlink(missing_ok=True)
    with pytest.raises(GraphError) as caught:
        read(content(cfg=Evil()))
    assert caught.value.reason == "unsafe_pickle"
    assert "system" in str(caught.value)
    assert not marker.exists()


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused() -> None:
    huge = torch.zeros(1).expand(1_000_000, 1_000_000)
    with pytest.raises(GraphError) as caught:
        read(content(adjacency_matrix=huge))
    assert caught.value.reason == "unsafe_tensor"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unreadable"),
        (b"no pickle", "unreadable"),
        (pickle.dumps({"a": 1}), "unreadable"),
        (saved([1, 2]), "not_a_graph"),
        (saved({"a": 1}), "not_a_graph"),
        (saved(content(adjacency_matrix=torch.zeros(3, 3))), "not_a_graph"),
        (saved(content(adjacency_matrix=torch.zeros(9))), "not_a_graph"),
        (saved(content(selected_features=torch.tensor([99]))), "not_a_graph"),
        (saved(content(active_features=torch.zeros(3))), "not_a_graph"),
        (saved(content(input_tokens="text")), "not_a_graph"),
        (saved(content(logit_targets=[object])), None),
        (saved(content())[:-200], "unreadable"),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, reason: str | None) -> None:
    with pytest.raises(GraphError) as caught:
        parse_graph(Blob("graph.pt", data))
    assert reason is None or caught.value.reason == reason


def test_features_out_of_range_and_nan_weights_are_counted() -> None:
    active = ACTIVE.clone()
    active[2, 0] = 128
    value = content(active_features=active)
    value["adjacency_matrix"][1, 7] = float("nan")
    graph = read(value)
    assert graph.node_oddities == {"out_of_range": 1}
    assert graph.dropped_links == collections.Counter(out_of_range=3, non_finite_weight=1)
    assert graph.link_total == 5


@pytest.mark.parametrize(
    "change",
    [
        {"logit_targets": torch.tensor([77.5])},
        {"logit_targets": [torch.tensor(float("nan"))]},
        {"input_tokens": torch.tensor([1.0, 2.0])},
        {"selected_features": torch.tensor([True, True])},
        {"selected_features": torch.tensor([-1, 0])},
        {"selected_features": torch.tensor([1, 1])},
        {"adjacency_matrix": torch.zeros(9, 9, dtype=torch.complex64)},
        {"logit_targets": [10**400, {}]},
        {"logit_targets": [("x",)]},
    ],
    ids=str,
)
def test_ids_are_whole_and_indices_are_indices(change: dict[str, Any]) -> None:
    with pytest.raises(GraphError) as caught:
        read(content(**change))
    assert caught.value.reason == "not_a_graph"


@pytest.mark.parametrize("token", [2**40 + 9, -5])
def test_a_token_outside_any_vocabulary_is_out_of_range_and_no_other_neurons_link(token: int) -> None:
    """Once, its bits ran over into the neuron's half of the key."""
    graph = read(content(logit_targets=torch.tensor([token]), input_tokens=torch.tensor([token, 5])))
    assert [NodeKind(kind).name for kind in graph.nodes.kind[[6, 8]]] == ["OUT_OF_RANGE"] * 2
    assert graph.dropped_links == {"out_of_range": 2}
    assert graph.node_oddities == {"out_of_range": 2}


def test_positions_that_cannot_be_are_unknown() -> None:
    active = ACTIVE.clone()
    active[2, 1], active[0, 1] = 2**33 + 1, -7
    assert read(content(active_features=active)).nodes.position[:2].tolist() == [-1, -1]


def test_texts_are_well_formed() -> None:
    graph = read(content(input_string="a\ud800", scan="s\udfff"))
    assert (graph.info.prompt, graph.info.space.model) == ("a?", "s?")
