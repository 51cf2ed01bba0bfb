"""Every trap of the graph formats: dialects, kinds from the node table, ambiguous and odd ids."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from factories import (
    ct_error,
    ct_feature,
    ct_graph,
    ct_logit,
    ct_token,
    link,
    relp_graph,
    relp_logit,
    relp_node,
    relp_token,
    to_viewer,
)

from atlas.errors import GraphError
from atlas.graph import Graph, NodeKind, Space
from atlas.graphs import Blob, parse_graph
from atlas.graphs.dialects import token_text
from atlas.ids import NeuronId


def parse(graph: object, name: str = "graph.json", **options: Any) -> Graph:
    return parse_graph(Blob(name, json.dumps(graph, **options).encode()))


def kinds(graph: Graph) -> list[str]:
    return [NodeKind(kind).name for kind in graph.nodes.kind]


def neurons(graph: Graph) -> list[NeuronId]:
    return [NeuronId.unpack(int(key)) for key in graph.nodes.key[graph.nodes.kind == NodeKind.NEURON]]


RELP = relp_graph(
    [relp_node(5, 100, 1), relp_node(10, 200, 2, clerp="L10/N200: plural nouns"), relp_token(7, 1), relp_logit(9, 2)],
    [link("5_100_1", "10_200_2", 2.0), link("E_7_1", "5_100_1", 1.0), link("10_200_2", "L_9_2", -0.5)],
)


@pytest.mark.parametrize("viewer", [False, True])
def test_relp_raw_and_viewer_read_the_same(viewer: bool) -> None:
    graph = parse(to_viewer(RELP) if viewer else RELP)
    assert graph.info.dialect == ("relp-viewer" if viewer else "relp-raw")
    # Raw and viewer name one model in two ways; they must not count as two feature spaces.
    assert graph.info.space == Space("llama-3.1-8b-instruct", None, "neuron")
    assert kinds(graph) == ["NEURON", "NEURON", "TOKEN", "LOGIT"]
    assert neurons(graph) == [(5, 100), (10, 200)]
    assert graph.nodes.text == [None, "plural nouns", "b", "out9"]
    assert graph.nodes.probability[3] == 0.9492
    assert graph.links.weight.tolist() == [2.0, 1.0, -0.5]
    assert graph.nodes.position.tolist() == [1, 2, 1, 2]
    assert not graph.dropped_links


def test_a_logit_of_a_viewer_graph_is_no_neuron_of_the_next_layer() -> None:
    """WRONG once: its synthetic layer 11 <= 31 made it neuron L11/N9."""
    node = relp_logit(9, 2) | {"layer": "11", "feature_type": "mlp_neuron", "isLogit": True, "node_id": "11_9_2"}
    graph = parse(relp_graph([relp_node(10, 200), node], [link("10_200_0", "11_9_2", 1.0)]))
    assert kinds(graph) == ["NEURON", "LOGIT"]
    assert graph.nodes.key[1] == 9


def test_fixtures_without_types_fall_back_on_layer_and_prefix() -> None:
    nodes = [
        {"node_id": "5_100_0", "layer": 5},
        {"node_id": "E_7_0", "layer": "E"},
        {"node_id": "L_9_2", "layer": "logit"},
        {"node_id": "6_-1_2", "layer": 6, "feature": -1},
    ]
    graph = parse({"nodes": nodes, "links": [link("5_100_0", "L_9_2", 1)]})
    assert kinds(graph) == ["NEURON", "TOKEN", "LOGIT", "ERROR"]
    assert graph.info.space.unit_type == "neuron"


def test_position_falls_back_on_the_older_key() -> None:
    node = relp_node(5, 1)
    del node["ctx_idx"]
    assert parse(relp_graph([node | {"position": 7}], [])).nodes.position.tolist() == [7]
    assert parse(relp_graph([node], [])).nodes.position.tolist() == [-1]


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("encoding", ["cantor", "decimal", "raw"])
def test_circuit_tracer_kinds_come_from_the_node_table(new: bool, encoding: str) -> None:
    error = ct_error(3, 1, new=new)
    nodes = [ct_feature(3, 17, 1, encoding=encoding), error, ct_token(2, 0), ct_logit(27, 20186, 2)]
    links = [link(error["node_id"], "3_17_1", 0.5), link("E_2_0", "3_17_1", 1), link("3_17_1", "27_20186_2", 1)]
    graph = parse(ct_graph(nodes, links))
    assert graph.info.dialect == "circuit-tracer"
    assert kinds(graph) == ["NEURON", "ERROR", "TOKEN", "LOGIT"]
    # The index comes from the id, whatever `feature` encodes; the logit at layer 27 is no feature.
    assert neurons(graph) == [(3, 17)]
    assert graph.nodes.key[3] == 20186
    assert graph.nodes.text[2:] == ["<bos>", " rain"]
    assert len(graph.links.weight) == 3


def test_an_error_node_spelled_like_a_feature_makes_its_links_ambiguous_and_no_others() -> None:
    """`0_2_1` is feature 2 of layer 0, or the error of layer 2: counted, not guessed."""
    nodes = [ct_feature(0, 2, 1), ct_error(2, 1, new=False), ct_feature(4, 9, 1)]
    graph = parse(ct_graph(nodes, [link("0_2_1", "4_9_1", 1), link("4_9_1", "4_9_1", 1)]))
    assert graph.dropped_links == {"ambiguous_id": 1}
    assert graph.node_oddities == {"ambiguous_id": 1}
    assert len(graph.links.weight) == 1
    assert neurons(graph) == [(0, 2), (4, 9)]  # the feature is in the graph all the same


def test_a_node_listed_twice_is_one_node() -> None:
    graph = parse(ct_graph([ct_feature(0, 2), ct_feature(0, 2), ct_feature(1, 1)], [link("0_2_0", "1_1_0", 1)]))
    assert neurons(graph) == [(0, 2), (1, 1)]
    assert graph.node_oddities == {"duplicate": 1}
    assert not graph.dropped_links


def test_attention_features_are_counted_not_aggregated() -> None:
    lorsa = ct_feature(0, 5, feature_type="lorsa") | {"layer": 0}
    graph = parse(ct_graph([lorsa, ct_feature(1, 1) | {"layer": 1}], [link("0_5_0", "1_1_0", 1)]))
    assert kinds(graph) == ["OTHER", "NEURON"]
    assert graph.dropped_links == {"other_unit_type: lorsa": 1}


def test_neurons_and_features_in_one_graph_are_refused() -> None:
    with pytest.raises(GraphError) as caught:
        parse(relp_graph([relp_node(1, 2), ct_feature(1, 3)], []))
    assert caught.value.reason == "mixed_units"


def test_a_graph_without_features_is_still_one_of_its_space() -> None:
    graph = parse(ct_graph([ct_token(5, 0), ct_logit(17, 8, 1)], [link("E_5_0", "17_8_1", 1.25)]))
    assert graph.info.space == Space("gemma-2-2b", "clt-hp", "feature")
    assert graph.links.weight.tolist() == [1.25]
    relp = parse(relp_graph([relp_token(5, 0)], []))
    assert relp.info.space.unit_type == "neuron"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"info": {"transcoder_set": "a", "neuronpedia_source_set": "b"}}, "a"),
        ({"info": {"neuronpedia_source_set": "b", "source_urls": ["c"]}}, "b"),
        ({"info": {"source_urls": ["c", "d"]}}, "c"),
        ({"info": {}, "transcoder_list": ["x", "y"]}, "x+y"),
        ({"info": None}, None),
        ({"info": "text"}, None),
    ],
)
def test_scan_alone_does_not_identify_the_space(metadata: dict, expected: str | None) -> None:
    assert parse(ct_graph([ct_feature(0, 1)], [], **metadata)).info.space == Space("gemma-2-2b", expected, "feature")


def test_missing_metadata_and_values() -> None:
    node = {"node_id": "0_1_0", "feature_type": "cross layer transcoder"}
    graph = parse({"nodes": [node], "links": []})
    assert graph.info.space == Space(None, None, "feature")
    assert np.isnan(graph.nodes.activation).all()
    assert np.isnan(graph.nodes.influence).all()


@pytest.mark.parametrize(
    ("layer", "feature", "kind"), [(127, 2**24 - 1, "NEURON"), (128, 0, "OUT_OF_RANGE"), (0, 2**24, "OUT_OF_RANGE")]
)
def test_the_bounds_of_the_key(layer: int, feature: int, kind: str) -> None:
    graph = parse(ct_graph([ct_feature(layer, feature), ct_feature(1, 1)], [link(f"{layer}_{feature}_0", "1_1_0", 1)]))
    assert kinds(graph) == [kind, "NEURON"]
    assert dict(graph.dropped_links) == ({} if kind == "NEURON" else {"out_of_range": 1})


LINKS = [
    (link("0_1_0", "9_9_9", 1), "missing_node"),
    (link("27_5_0", "1_1_0", 1), "from_logit"),
    (link("0_1_0", "E_3_0", 1), "into_token"),
    (link("0_1_0", "2_-1_0", 1), "into_error"),
    (link("0_1_0", "1_1_0", float("nan")), "non_finite_weight"),
    (link("0_1_0", "1_1_0", float("-inf")), "non_finite_weight"),
    (link("0_1_0", "1_1_0", 1e300), "huge_weight"),
    (link("0_1_0", "1_1_0", None), "malformed"),
    (link("0_1_0", "1_1_0", "0.5"), "malformed"),
    (link("0_1_0", "1_1_0", [1]), "malformed"),
    ({"source": "0_1_0", "weight": 1}, "malformed"),
    ({"source": 3, "target": "1_1_0", "weight": 1}, "malformed"),
    ("text", "malformed"),
    (None, "malformed"),
]


@pytest.mark.parametrize(("bad", "reason"), LINKS, ids=[f"{reason}-{place}" for place, (_, reason) in enumerate(LINKS)])
def test_a_bad_link_is_one_counted_link(bad: Any, reason: str) -> None:
    nodes = [ct_feature(0, 1), ct_feature(1, 1), ct_logit(27, 5, 0), ct_token(3, 0), ct_error(2, 0, new=True)]
    graph = parse(ct_graph(nodes, [link("0_1_0", "1_1_0", 0.5), bad, link("0_1_0", "1_1_0", 1.5)]))
    assert graph.dropped_links == {reason: 1}
    assert graph.links.weight.tolist() == [0.5, 1.5]
    assert graph.link_total == 3


BAD_NODES = [
    ({"feature_type": "cross layer transcoder"}, "malformed"),
    ({"node_id": 5, "feature_type": "cross layer transcoder"}, "malformed"),
    ("text", "malformed"),
    (ct_feature(3, 3, node_id="three"), "bad_id"),
    (ct_feature(3, 3, node_id="3_-3_0"), "bad_id"),
    (ct_token(3, 0, node_id="E_x_0"), "bad_id"),
    (ct_feature(3, 3, activation=float("inf")), "non_finite_activation"),
    (ct_feature(3, 3, influence=float("nan")), "non_finite_influence"),
    (ct_feature(3, 3, activation=1e300), "non_finite_activation"),
    (ct_token(2**31, 0), "out_of_range"),
]


@pytest.mark.parametrize(
    ("bad", "reason"), BAD_NODES, ids=[f"{reason}-{place}" for place, (_, reason) in enumerate(BAD_NODES)]
)
def test_a_bad_node_is_counted_and_costs_only_itself(bad: Any, reason: str) -> None:
    graph = parse(ct_graph([ct_feature(0, 1), bad, ct_feature(1, 1)], [link("0_1_0", "1_1_0", 0.5)]))
    assert graph.node_oddities == {reason: 1}
    assert graph.links.weight.tolist() == [0.5]
    assert {(0, 1), (1, 1)} <= set(neurons(graph))


def test_nodes_exceeded_is_read_from_both_places() -> None:
    assert parse(RELP | {"nodes_exceeded": True}).info.nodes_exceeded is True
    in_metadata = relp_graph([], [], nodes_exceeded=True)
    del in_metadata["nodes_exceeded"]
    assert parse(in_metadata).info.nodes_exceeded is True


def test_corpus_columns() -> None:
    info = parse(relp_graph([], [], source="fineweb", corpus_index=7, sample_index=3)).info
    assert (info.corpus_source, info.corpus_index) == ("fineweb", 7)
    assert parse(relp_graph([], [], sample_index=3)).info.corpus_index == 3


@pytest.mark.parametrize(
    ("clerp", "expected"),
    [
        ("Logit: Paris (p=0.9492)", ("Paris", 0.9492)),
        (" Paris (p=0.9492)", (" Paris", 0.9492)),
        ("Answer: Paris p=0.95", ("Paris", 0.95)),
        ('Output " rain" (p=0.281)', (" rain", 0.281)),
        ('output: "Austin" (p=0.984)', ("Austin", 0.984)),
        ('Output "p=1 (p=0.5)" (p=0.001)', ("p=1 (p=0.5)", 0.001)),
        ('Emb: " <bos>"', (" <bos>", None)),
        ("Token: x", ("x", None)),
        ("Logit: ", ("Logit: ", None)),
        ("(p=1e-06)", (None, 1e-06)),
        ("x (p=.)", ("x", None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_token_and_probability_from_the_display_text(clerp: str | None, expected: tuple) -> None:
    assert token_text(clerp) == expected


def test_the_real_graphs_lose_nothing(data) -> None:
    """Numbers counted by an independent loop over the files: 537,029 links, of which 2,367 name ids of
    28-bit feature indices (haiku) and 81 the one id that is a feature and an error node (dollar)."""
    from collections import Counter

    from atlas.graphs import find_sources, read_graphs

    total, dropped = 0, Counter()
    for source in find_sources([data / "graphs"]):
        for graph in read_graphs(source):
            assert isinstance(graph, Graph), graph
            assert graph.link_total == len(graph.links.weight) + graph.dropped_links.total()
            total += graph.link_total
            dropped += graph.dropped_links
    assert total == 537_029
    assert dropped == {"out_of_range": 2_367, "ambiguous_id": 81}


@pytest.mark.parametrize(
    "odd",
    [
        {"activation": "2.5"},
        {"ctx_idx": "3"},
        {"feature": []},
        {"clerp": 5},
        {"isLogit": 0},
        {"layer": [1]},
        {"influence": {}},
    ],
)
def test_an_odd_optional_key_costs_that_key_and_not_the_node(odd: dict) -> None:
    graph = parse(ct_graph([ct_feature(0, 1), ct_feature(1, 1) | odd], [link("0_1_0", "1_1_0", 0.5)]))
    assert graph.node_oddities == {"odd_key": 1}
    assert neurons(graph) == [(0, 1), (1, 1)]
    assert graph.links.weight.tolist() == [0.5]


def test_one_odd_key_of_info_does_not_hide_the_transcoder_set() -> None:
    """Once, two transcoder sets mixed because `source_urls` was a text."""
    for name in ("clt", "plt"):
        info = {"transcoder_set": name, "source_urls": "https://example.org", "neuronpedia_source_set": 5}
        assert parse(ct_graph([ct_feature(0, 1)], [], info=info)).info.space.transcoder_set == name


def test_a_display_text_of_a_million_blanks_is_read() -> None:
    """Once, it took an hour: the expression tried every blank as a start. This test would hang."""
    assert token_text(" " * 1_000_000) == (" " * 1_000_000, None)
    assert token_text("(" * 1_000_000 + "p=0.5)")[1] == 0.5
    assert token_text(" " * 1_000_000 + "(p=0.25)")[1] == 0.25
