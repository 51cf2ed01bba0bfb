"""The tracer against autograd on the model of transformers itself, one target at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from trace_models import ARCHITECTURES, linearised, tiny  # noqa: E402

from atlas.graph import Graph, NodeKind  # noqa: E402
from atlas.ids import NeuronId  # noqa: E402
from atlas.models.cache import activation  # noqa: E402
from atlas.models.prompts import Prompt  # noqa: E402
from atlas.options import FLOW, TraceOptions  # noqa: E402
from atlas.trace.rules import RULES  # noqa: E402
from atlas.trace.tracer import Traced, Tracer  # noqa: E402

IDS = (3, 14, 15, 9, 26, 5, 3, 8)


def prompt(ids: tuple[int, ...] = IDS, **more: Any) -> Prompt:
    return Prompt("graphs/graph_00000.json", " ".join(map(str, ids)), ids, **more)


def trace_one(model: Any, given: Prompt, **options: Any) -> Traced:
    [traced] = Tracer(model, TraceOptions(**options)).trace([given])
    assert isinstance(traced, Traced)
    return traced


def neurons_of(graph: Graph) -> list[tuple[int, int, int]]:
    """(layer, position, neuron) of the neuron nodes."""
    rows = np.flatnonzero(graph.nodes.kind == NodeKind.NEURON)
    ids = [NeuronId.unpack(int(key)) for key in graph.nodes.key[rows]]
    return [(one.layer, int(graph.nodes.position[row]), one.neuron) for row, one in zip(rows, ids, strict=True)]


def matrix(graph: Graph) -> np.ndarray:
    """Weights by (target row, source row)."""
    found = np.zeros((len(graph.nodes.kind),) * 2)
    found[graph.links.target, graph.links.source] = graph.links.weight
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_linearised_model_has_the_activations_of_the_real_one(architecture: str) -> None:
    model = tiny(architecture)
    cache = model.forward([list(IDS)])
    with linearised(model, cut=False) as found, torch.enable_grad():
        logits = model.model(torch.tensor([IDS])).logits
    for layer, kept in enumerate(cache.layers):
        torch.testing.assert_close(activation(kept), found[layer][0].detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cache.logits, logits[:, -1].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rules", ["relp", "relp-live-norms", "gradient"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_edge_is_its_definition(architecture: str, rules: str) -> None:
    model = tiny(architecture)
    graph = trace_one(model, prompt(), tau=0.0, top_logits=3, rules=rules).graph
    cells, weights = neurons_of(graph), matrix(graph)
    logit_rows = np.flatnonzero(graph.nodes.kind == NodeKind.LOGIT)
    embeddings = model.embedding[list(IDS)][None].clone().requires_grad_()
    assert len(cells) > 100
    with linearised(model, cut=True, rules=RULES[rules]) as found, torch.enable_grad():
        logits = model.model(inputs_embeds=embeddings).logits
        sources = [found[layer][1] for layer in range(3)]
        targets = [found[layer][0][0, at, unit] for layer, at, unit in cells]
        targets += [logits[0, -1, int(graph.nodes.key[row])] for row in logit_rows]
        for row, target in zip([*range(len(cells)), *logit_rows], targets, strict=True):
            grads = torch.autograd.grad(target, [*sources, embeddings], retain_graph=True, allow_unused=True)
            expected = torch.zeros(len(graph.nodes.kind), dtype=torch.float64)
            for number, (layer, at, unit) in enumerate(cells):
                if grads[layer] is not None:
                    expected[number] = sources[layer][0, at, unit] * grads[layer][0, at, unit]
            if grads[3] is not None:
                expected[len(cells) : len(cells) + len(IDS)] = (grads[3] * embeddings)[0].sum(-1)
            np.testing.assert_allclose(weights[row][:-1], expected.detach().numpy()[:-1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_comes_in_adds_up_to_the_target(architecture: str) -> None:
    """Edges + embeddings + error mass = activation of the target; the error is computed, not the rest."""
    graph = trace_one(tiny(architecture), prompt(), tau=0.01).graph
    neurons = np.flatnonzero(graph.nodes.kind == NodeKind.NEURON)
    assert 5 < len(neurons) < 200
    sums = matrix(graph).sum(1)
    np.testing.assert_allclose(sums[neurons], graph.nodes.activation[neurons], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_comes_into_a_logit_adds_up_to_it(architecture: str) -> None:
    model = tiny(architecture)
    graph = trace_one(model, prompt(), tau=0.05, top_logits=4).graph
    logits = model.forward([list(IDS)]).logits[0]
    rows = np.flatnonzero(graph.nodes.kind == NodeKind.LOGIT)
    assert len(rows) == 4
    expected = [float(logits[int(graph.nodes.key[row])]) for row in rows]
    np.testing.assert_allclose(matrix(graph).sum(1)[rows], expected, rtol=1e-6)
    probability = torch.softmax(logits, 0)[graph.nodes.key[rows]]
    np.testing.assert_allclose(graph.nodes.probability[rows], probability, rtol=1e-9)


@pytest.mark.parametrize("rules", ["relp", "relp-live-norms", "gradient"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_activation_times_gradient(architecture: str, rules: str) -> None:
    model = tiny(architecture)
    traced = trace_one(model, prompt(), tau=0.0, top_logits=3, rules=rules)
    graph = traced.graph
    tokens = graph.nodes.key[graph.nodes.kind == NodeKind.LOGIT].tolist()
    with linearised(model, cut=False, rules=RULES[rules]) as found, torch.enable_grad():
        embeddings = model.embedding[list(IDS)][None].clone().requires_grad_()
        metric = model.model(inputs_embeds=embeddings).logits[0, -1, tokens].sum()
        grads = torch.autograd.grad(metric, [found[layer][1] for layer in range(3)])
    assert traced.metric == pytest.approx(float(metric.detach()), rel=1e-10)
    for row, (layer, at, unit) in enumerate(neurons_of(graph)):
        expected = float((found[layer][1][0, at, unit] * grads[layer][0, at, unit]).detach())
        assert graph.nodes.influence[row] == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "olmo3"])
def test_zeroing_a_source_moves_the_target_by_the_weight(architecture: str) -> None:
    """An intervention in the linearised model itself: no derivative is taken."""
    model = tiny(architecture)
    graph = trace_one(model, prompt(), tau=0.02).graph
    cells, weights = neurons_of(graph), matrix(graph)
    pairs = [
        (target, source)
        for target, (high, _, _) in enumerate(cells)
        for source, (low, _, _) in enumerate(cells)
        if low < high and abs(weights[target, source]) > 1e-6
    ]
    cache = model.forward([list(IDS)])
    for target, source in pairs[:: max(1, len(pairs) // 12)]:
        before, after = (linear_run(model, cache, cells[source], cells[target], kept) for kept in (True, False))
        assert before - after == pytest.approx(weights[target, source], rel=1e-7, abs=1e-10)


def linear_run(model: Any, cache: Any, source: tuple[int, int, int], target: tuple[int, int, int], kept: bool) -> float:
    """The target in the linearised model where other MLPs put out what they did and the source all or nothing."""
    stream = cache.embedding[0].clone()
    for number, layer in enumerate(cache.layers):
        block = model.blocks[number]
        attention, mlp = block.attention, block.mlp
        stream = stream + after(
            attention,
            attend(model, attention, layer, before(attention, stream, layer.attention_norm.scale)),
            layer.attention_norm.scale,
        )
        read = before(mlp, stream, layer.mlp_norm.scale)
        if number == target[0]:
            _, at, unit = target
            gate, up = layer.gate[0, at, unit], layer.up[0, at, unit]
            silu = gate * torch.sigmoid(gate)
            return float(
                silu / 2 * (mlp.module.up_proj(read)[at, unit])
                + up * torch.sigmoid(gate) / 2 * mlp.module.gate_proj(read)[at, unit]
            )
        written = activation(layer)[0].clone()
        if number == source[0] and not kept:
            written[source[1], source[2]] = 0
        stream = stream + after(mlp, mlp.module.down_proj(written), layer.mlp_norm.scale)
    raise AssertionError("no such layer")


def before(part: Any, stream: Any, scale: Any) -> Any:
    return stream if part.norm_before is None else part.norm_before.weight * stream * scale[0]


def after(part: Any, written: Any, scale: Any) -> Any:
    return written if part.norm_after is None else part.norm_after.weight * written * scale[0]


def attend(model: Any, part: Any, layer: Any, read: Any) -> Any:
    values = part.module.v_proj(read).view(len(read), -1, 4).repeat_interleave(model.groups, 1)
    mixed = torch.einsum("hts,shd->thd", layer.attention.pattern[0], values)
    return part.module.o_proj(mixed.reshape(len(read), -1))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_batch_is_its_prompts_one_by_one(architecture: str) -> None:
    model = tiny(architecture)
    rng = np.random.default_rng(3)
    prompts = [prompt(tuple(rng.integers(1, 50, size).tolist())) for size in (8, 3, 12, 2, 5, 9, 12, 4)]
    together = Tracer(model, TraceOptions(tau=0.02)).trace(prompts)
    for one, given in zip(together, prompts, strict=True):
        assert isinstance(one, Traced)
        alone = trace_one(model, given, tau=0.02)
        np.testing.assert_array_equal(one.graph.nodes.key, alone.graph.nodes.key)
        np.testing.assert_array_equal(one.graph.nodes.position, alone.graph.nodes.position)
        np.testing.assert_allclose(matrix(one.graph), matrix(alone.graph), rtol=1e-9, atol=1e-12)
        assert one.graph.info.content_hash == alone.graph.info.content_hash


def test_a_small_memory_takes_more_passes_to_the_same_effects() -> None:
    model = tiny("qwen2")
    whole = trace_one(model, prompt(), tau=0.01).graph
    [cut] = Tracer(model, TraceOptions(tau=0.01), memory=1).trace([prompt()])
    assert isinstance(cut, Traced)
    np.testing.assert_allclose(matrix(cut.graph), matrix(whole), rtol=1e-9, atol=1e-12)


def test_flow_is_the_direct_effect_times_score_over_activation() -> None:
    model = tiny("llama")
    direct, flow = (trace_one(model, prompt(), tau=0.02, link_weight=kind).graph for kind in ("direct_effect", FLOW))
    neurons = np.flatnonzero(direct.nodes.kind == NodeKind.NEURON)
    scale = direct.nodes.influence[neurons] / direct.nodes.activation[neurons]
    np.testing.assert_allclose(matrix(flow)[neurons], matrix(direct)[neurons] * scale[:, None], rtol=1e-9, atol=1e-13)
    logits = np.flatnonzero(direct.nodes.kind == NodeKind.LOGIT)
    np.testing.assert_allclose(matrix(flow)[logits], matrix(direct)[logits], rtol=1e-12)
    assert flow.info.space != direct.info.space
    assert flow.info.content_hash != direct.info.content_hash


def test_given_and_contrasting_targets() -> None:
    model = tiny("llama")
    traced = trace_one(model, prompt(targets=(7,), contrasts=(11, 12)), tau=0.0)
    logits = model.forward([list(IDS)]).logits[0]
    assert traced.metric == pytest.approx(float(logits[7] - logits[11] - logits[12]))
    graph = traced.graph
    assert graph.nodes.key[graph.nodes.kind == NodeKind.LOGIT].tolist() == [7, 11, 12]
    parts = [trace_one(model, prompt(targets=(token,)), tau=0.0).graph for token in (7, 11, 12)]
    scores = [dict(zip(neurons_of(part), part.nodes.influence, strict=False)) for part in parts]
    for row, cell in enumerate(neurons_of(graph)):
        expected = scores[0].get(cell, 0) - scores[1].get(cell, 0) - scores[2].get(cell, 0)
        assert graph.nodes.influence[row] == pytest.approx(expected, rel=1e-8, abs=1e-11)


def test_the_strongest_stay_where_too_many_pass() -> None:
    model = tiny("llama")
    every, some = (trace_one(model, prompt(), tau=0.001, max_nodes=most).graph for most in (500, 20))
    assert not every.info.nodes_exceeded
    assert some.info.nodes_exceeded
    scores = dict(zip(neurons_of(every), np.abs(every.nodes.influence), strict=False))
    assert set(neurons_of(some)) == set(sorted(scores, key=lambda cell: -scores[cell])[:20])
    # The links between those that stay are the same: no graph loses its links.
    row_of = {cell: row for row, cell in enumerate(neurons_of(every))}
    rows = [row_of[cell] for cell in neurons_of(some)]
    np.testing.assert_allclose(matrix(some)[:20, :20], matrix(every)[np.ix_(rows, rows)], rtol=1e-9, atol=1e-12)


def test_tau_is_relative_to_the_metric() -> None:
    traced = trace_one(tiny("mistral"), prompt(), tau=0.05)
    neurons = traced.graph.nodes.kind == NodeKind.NEURON
    assert (np.abs(traced.graph.nodes.influence[neurons]) >= 0.05 * abs(traced.metric)).all()


def test_links_go_up_and_never_back_in_time() -> None:
    graph = trace_one(tiny("qwen3"), prompt(), tau=0.0).graph
    nodes, links = graph.nodes, graph.links
    neuron = (nodes.kind[links.source] == NodeKind.NEURON) & (nodes.kind[links.target] == NodeKind.NEURON)
    source, target = links.source[neuron], links.target[neuron]
    assert (nodes.key[source] >> 24 < nodes.key[target] >> 24).all()
    token = nodes.kind[links.source] != NodeKind.ERROR
    assert (nodes.position[links.source[token]] <= nodes.position[links.target[token]]).all()


def test_a_prompt_that_makes_nan_is_rejected_and_the_others_are_not() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.get_input_embeddings().weight[49] = float("nan")
    fine, bad, other = Tracer(model).trace([prompt(), prompt((3, 49, 5)), prompt((1, 2, 3))])
    assert isinstance(fine, Traced)
    assert isinstance(other, Traced)
    assert bad.reason == "not_finite"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_near(dtype: Any) -> None:
    exact = trace_one(tiny("llama"), prompt(), tau=0.0).graph
    rough = trace_one(tiny("llama", dtype=dtype), prompt(), tau=0.0).graph
    assert rough.links.weight.dtype == np.float64
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    largest = np.abs(matrix(exact)).max()
    a, b = dense(exact), dense(rough)
    both = [abs(a[key] - b[key]) for key in a.keys() & b.keys()]
    assert len(both) > 1000
    assert np.median(both) < tolerance * largest


def dense(graph: Graph) -> dict[tuple[int, int, int, int], float]:
    """Weights by (source key, position, target key, position): rows differ between precisions."""
    nodes, links = graph.nodes, graph.links
    keys = [(int(key), int(at)) for key, at in zip(nodes.key, nodes.position, strict=True)]
    return {(*keys[s], *keys[t]): w for s, t, w in zip(links.source, links.target, links.weight, strict=True)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_card_gives_what_the_cpu_gives() -> None:
    model = tiny("llama")
    here = trace_one(model, prompt(), tau=0.01).graph
    model.model.cuda()
    there = trace_one(model, prompt(), tau=0.01).graph
    np.testing.assert_allclose(matrix(there), matrix(here), rtol=1e-8, atol=1e-10)
