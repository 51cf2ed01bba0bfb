"""Ablations against the model of `transformers` with one value replaced, one at a time; and what statistics keep of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from test_trace import IDS, neurons_of, prompt  # noqa: E402
from test_trace_rules import OTHERS  # noqa: E402
from trace_models import ARCHITECTURES, linearised, tiny  # noqa: E402

from atlas.graph import NodeKind  # noqa: E402
from atlas.models import Prompt, load_model, read_prompts  # noqa: E402
from atlas.models.cache import Baseline  # noqa: E402
from atlas.options import PromptOptions, TraceOptions  # noqa: E402
from atlas.trace import mean_baseline  # noqa: E402
from atlas.trace.rules import RULES  # noqa: E402
from atlas.trace.tracer import Traced, Tracer  # noqa: E402

DEMO = Path(__file__).resolve().parents[1] / "build" / "demo"
Cell = tuple[int, int, int]


def slow_run(
    model: Any, replace: Cell, value: float, held: dict[int, Any] | None, ids: tuple[int, ...] = IDS
) -> tuple[dict[int, Any], Any]:
    """Run the model with one neuron's value replaced. Activations by layer as the neurons themselves would be; logits.

    With `held`, all other neurons write those values, whatever they read.
    """
    seen: dict[int, Any] = {}
    before = []
    for layer, module in enumerate(model.model.model.layers):

        def forward(stream: Any, layer: int = layer, mlp: Any = module.mlp) -> Any:
            gate = mlp.gate_proj(stream)
            own = gate * torch.sigmoid(gate) * mlp.up_proj(stream)
            seen[layer] = own[0].clone()
            written = own if held is None else held[layer][None].clone()
            if layer == replace[0]:
                written[0, replace[1], replace[2]] = value
            return mlp.down_proj(written)

        before.append(module.mlp)
        module.mlp.forward = forward
    try:
        with torch.no_grad():
            logits = model.model(torch.tensor([ids])).logits[0, -1]
    finally:
        for mlp in before:
            del mlp.forward
    return seen, logits


@pytest.mark.parametrize(
    ("architecture", "kind"), [*((name, "zero") for name in ARCHITECTURES), ("llama", "mean"), ("olmo2", "mean")]
)
def test_effects_are_those_of_the_model_with_one_value_replaced(architecture: str, kind: str) -> None:
    model = tiny(architecture)
    mean = mean_baseline(model, OTHERS)
    tracer = Tracer(model, TraceOptions(tau=0.001, baseline=kind), baseline=mean)
    tracer.ablations_per_graph = 25
    [traced] = tracer.trace([prompt()])
    assert isinstance(traced, Traced)
    graph, cells = traced.graph, neurons_of(traced.graph)
    assert graph.tracing is not None
    cut = graph.tracing.ablated
    assert cut is not None
    assert (len(cut.node), len(cut.source)) == (25, 50)
    assert len({*cut.node.tolist()}) == 25
    whole, logits = slow_run(model, (-1, 0, 0), 0.0, None)
    tokens = graph.nodes.key[graph.nodes.kind == NodeKind.LOGIT].tolist()
    for row, effect in zip(cut.node.tolist(), cut.node_effect, strict=True):
        _, without = slow_run(model, cells[row], stand_in(mean, kind, cells[row]), None)
        assert effect == pytest.approx(float((logits - without)[tokens].sum()), rel=1e-8, abs=1e-12)
    between = 0
    for source, target, effect, value in zip(
        cut.source.tolist(), cut.target.tolist(), cut.edge_effect, cut.target_value, strict=True
    ):
        seen, without = slow_run(model, cells[source], stand_in(mean, kind, cells[source]), whole)
        if graph.nodes.kind[target] == NodeKind.LOGIT:
            expected, there = logits - without, logits
            place: Any = int(graph.nodes.key[target])
        else:
            layer, *place = cells[target]
            expected, there, place = whole[layer] - seen[layer], whole[layer], tuple(place)
            between += 1
        assert effect == pytest.approx(float(expected[place]), rel=1e-8, abs=1e-12)
        assert value == pytest.approx(float(there[place]), rel=1e-9)
    assert between == 25


@pytest.mark.slow
@pytest.mark.parametrize("rules", ["relp", "relp-live-norms", "gradient"])
def test_fidelity_of_the_demo_by_an_independent_implementation(rules: str) -> None:
    """Five prompts: predictions by autograd on the model of `transformers`, effects by one run each."""
    model = load_model(DEMO, device="cpu", dtype="float64")
    corpus = read_prompts(DEMO / "prompts.jsonl", model, PromptOptions())
    prompts = [item for item in itertools.islice(corpus, 0, 300, 60) if isinstance(item, Prompt)]
    tracer = Tracer(model, TraceOptions(rules=rules, max_nodes=60))
    tracer.ablations_per_graph = 12
    assert len(prompts) == 5
    for given, traced in zip(prompts, tracer.trace(prompts), strict=True):
        assert isinstance(traced, Traced)
        graph, cells = traced.graph, neurons_of(traced.graph)
        assert graph.tracing is not None
        cut = graph.tracing.ablated
        assert cut is not None
        tokens = graph.nodes.key[graph.nodes.kind == NodeKind.LOGIT].tolist()
        whole, logits = slow_run(model, (-1, 0, 0), 0.0, None, given.ids)
        totals = [slow_run(model, cells[row], 0.0, None, given.ids)[1] for row in cut.node.tolist()]
        with linearised(model, cut=False, rules=RULES[rules]) as found, torch.enable_grad():
            leaf = model.embedding[list(given.ids)][None].clone().requires_grad_()
            metric = model.model(inputs_embeds=leaf).logits[0, -1, tokens].sum()
            grads = torch.autograd.grad(metric, [found[layer][1] for layer in range(5)])
        for row, effect, without in zip(cut.node.tolist(), cut.node_effect, totals, strict=True):
            layer, at, unit = cells[row]
            score = float((found[layer][1] * grads[layer])[0, at, unit].detach())
            assert graph.nodes.influence[row] == pytest.approx(score, rel=1e-7, abs=1e-12)
            assert effect == pytest.approx(float((logits - without)[tokens].sum()), rel=1e-7, abs=1e-11)
        runs = [slow_run(model, cells[source], 0.0, whole, given.ids) for source in cut.source.tolist()]
        with linearised(model, cut=True, rules=RULES[rules]) as found, torch.enable_grad():
            leaf = model.embedding[list(given.ids)][None].clone().requires_grad_()
            outputs = model.model(inputs_embeds=leaf).logits[0, -1]
            for (seen, without), source, target, effect, predicted in zip(
                runs, cut.source.tolist(), cut.target.tolist(), cut.edge_effect, cut.predicted, strict=True
            ):
                low, at, unit = cells[source]
                if graph.nodes.kind[target] == NodeKind.LOGIT:
                    token = int(graph.nodes.key[target])
                    value, expected = outputs[token], float((logits - without)[token])
                else:
                    high, to, other = cells[target]
                    value, expected = found[high][0][0, to, other], float((whole[high] - seen[high])[to, other])
                [grad] = torch.autograd.grad(value, [found[low][1]], retain_graph=True)
                direct = float((found[low][1] * grad)[0, at, unit].detach())
                assert predicted == pytest.approx(direct, rel=1e-7, abs=1e-12)
                assert effect == pytest.approx(expected, rel=1e-7, abs=1e-11)


def stand_in(mean: Baseline, kind: str, cell: Cell) -> float:
    layer, at, unit = cell
    return 0.0 if kind == "zero" else float(mean.neurons[layer, int(at > 0), unit])


def test_predictions_are_the_links_of_the_graph() -> None:
    model = tiny("qwen3")
    tracer = Tracer(model, TraceOptions(tau=0.001))
    tracer.ablations_per_graph = 40
    [traced] = tracer.trace([prompt()])
    assert isinstance(traced, Traced)
    links = traced.graph.links
    weight = dict(zip(zip(links.source.tolist(), links.target.tolist(), strict=True), links.weight, strict=True))
    assert traced.graph.tracing is not None
    cut = traced.graph.tracing.ablated
    assert cut is not None
    for source, target, predicted in zip(cut.source.tolist(), cut.target.tolist(), cut.predicted, strict=True):
        assert predicted == weight[source, target]
    # The link weight of a graph does not change what its edges are predicted to do.
    flowing = Tracer(model, TraceOptions(tau=0.001, link_weight="attribution_flow"))
    flowing.ablations_per_graph = 40
    [other] = flowing.trace([prompt()])
    assert isinstance(other, Traced)
    assert other.graph.tracing is not None
    assert other.graph.tracing.ablated is not None
    assert np.isin(np.round(other.graph.tracing.ablated.predicted, 12), np.round(links.weight, 12)).all()


def test_a_share_of_an_ablation_is_a_probability() -> None:
    model = tiny("llama")
    tracer = Tracer(model, TraceOptions(tau=0.01))
    tracer.ablations_per_graph = 0.3
    rng = np.random.default_rng(0)
    prompts = [prompt(tuple(rng.integers(1, 50, 5).tolist())) for _ in range(100)]
    counts = []
    for traced in tracer.trace(prompts):
        assert isinstance(traced, Traced)
        assert traced.graph.tracing is not None
        assert traced.graph.tracing.ablated is not None
        counts.append(len(traced.graph.tracing.ablated.node))
    assert set(counts) == {0, 1}
    assert 15 <= sum(counts) <= 45


def rank(values: np.ndarray) -> np.ndarray:
    """Mean rank of equal values, by counting."""
    return np.array([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values])


def test_fidelity_is_what_its_columns_say(demo: Path) -> None:
    with duckdb.connect(str(demo / "out" / "demo.duckdb"), read_only=True) as con:
        nodes = con.sql("SELECT score, score_gradient, effect, score_share FROM ablated_nodes").fetchnumpy()
        edges = con.sql(
            "SELECT predicted, effect, abs(predicted / target_value) AS share FROM ablated_edges WHERE tgt_token_id IS NULL"
        ).fetchnumpy()
        found = {
            (row[0], row[1]): row[2:]
            for row in con.sql(
                "SELECT subject, size, count, rank_correlation, slope, same_sign_share, gradient_rank_correlation FROM fidelity"
            ).fetchall()
        }
    assert len(nodes["score"]) > 20
    for size, least, most in (("all", 0, np.inf), ("large", 0.05, np.inf), ("medium", 0.01, 0.05), ("small", 0, 0.01)):
        for subject, predicted, effect, share, scale in (
            ("node", nodes["score"], nodes["effect"], nodes["score_share"], 0.1),
            ("edge", edges["predicted"], edges["effect"], edges["share"], 1.0),
        ):
            some = (share >= least * scale) & (share < most * scale)
            if some.sum() < 3:
                continue
            one, other = predicted[some], effect[some]
            expected = (
                some.sum(),
                np.corrcoef(rank(one), rank(other))[0, 1],
                np.polyfit(one, other, 1)[0],
                (np.sign(one) == np.sign(other)).mean(),
            )
            np.testing.assert_allclose(found[subject, size][:4], expected, rtol=1e-4, atol=1e-5)
    expected = np.corrcoef(rank(nodes["score_gradient"]), rank(nodes["effect"]))[0, 1]
    assert found["node", "all"][4] == pytest.approx(expected, rel=1e-5)


def test_regimes_and_ablations_reach_the_statistics(tmp_path: Path) -> None:
    from atlas.aggregate import Aggregator

    model = tiny("llama")
    tracer = Tracer(model, TraceOptions(tau=0.01))
    tracer.ablations_per_graph = 4
    rng = np.random.default_rng(1)
    graphs = [
        traced.graph
        for traced in tracer.trace([prompt(tuple(rng.integers(1, 50, 6).tolist())) for _ in range(8)])
        if isinstance(traced, Traced)
    ]
    expected: dict[tuple[int, int], list[Any]] = {}
    for graph in graphs:
        assert graph.tracing is not None
        for row, (layer, _, unit) in enumerate(neurons_of(graph)):
            gate, up = (
                torch.tensor(float(values[row]), dtype=torch.float64, requires_grad=True)
                for values in (graph.tracing.gate, graph.tracing.up)
            )
            with torch.enable_grad():
                value = torch.nn.functional.silu(gate) * up
            assert float(value.detach()) == pytest.approx(graph.nodes.activation[row], rel=1e-9)
            of_gate, of_up = torch.autograd.grad(value, [gate, up])
            expected.setdefault((layer, unit), []).append(
                (float(of_up), float(of_gate), float(gate.detach()) > 0, float(up.detach()) > 0)
            )
    sink = Aggregator(tmp_path / "stats", space=tracer.space, threads=1)
    for graph in graphs:
        sink.add_graph(graph)
        sink.flush()  # one task each
    sink.write()
    table = pq.read_table(tmp_path / "stats" / "regimes.parquet").to_pylist()
    assert {(row["layer"], row["neuron"]) for row in table} == expected.keys()
    for row in table:
        mine = expected[row["layer"], row["neuron"]]
        assert row["node_count"] == len(mine)
        assert row["up_factor_sum"] == pytest.approx(sum(up for up, *_ in mine), rel=1e-9, abs=1e-12)
        assert row["gate_factor_sum"] == pytest.approx(sum(gate for _, gate, *_ in mine), rel=1e-9, abs=1e-12)
        signs = [(gate, up) for *_, gate, up in mine]
        assert row["both_positive_count"] == signs.count((True, True))
        assert row["up_negative_count"] == signs.count((True, False))
        assert row["gate_negative_count"] == signs.count((False, True))
        assert row["both_negative_count"] == signs.count((False, False))
    graph_ids = pq.read_table(tmp_path / "stats" / "graphs.parquet").to_pylist()
    id_of = {row["content_hash"]: row["graph_id"] for row in graph_ids}
    nodes, edges = (
        pq.read_table(tmp_path / "stats" / f"ablated_{name}.parquet").to_pylist() for name in ("nodes", "edges")
    )
    assert (len(nodes), len(edges)) == (8 * 4, 8 * 8)
    for graph in graphs:
        cells, facts = neurons_of(graph), graph.tracing
        assert facts is not None
        assert facts.ablated is not None
        mine = [row for row in nodes if row["graph_id"] == id_of[graph.info.content_hash]]
        assert {((row["layer"], row["position"], row["neuron"]), row["effect"], row["score_sum"]) for row in mine} == {
            (cells[node], effect, facts.score_sum)
            for node, effect in zip(facts.ablated.node.tolist(), facts.ablated.node_effect, strict=True)
        }
        mine = [row for row in edges if row["graph_id"] == id_of[graph.info.content_hash]]
        found = set()
        for row in mine:
            target: Any = row["tgt_token_id"]
            if target is None:
                target = (row["tgt_layer"], row["tgt_position"], row["tgt_neuron"])
            found.add(
                ((row["src_layer"], row["src_position"], row["src_neuron"]), target, row["effect"], row["predicted"])
            )
        assert found == {
            (cells[source], cells[target] if target < len(cells) else int(graph.nodes.key[target]), effect, predicted)
            for source, target, effect, predicted in zip(
                facts.ablated.source.tolist(),
                facts.ablated.target.tolist(),
                facts.ablated.edge_effect,
                facts.ablated.predicted,
                strict=True,
            )
        }
