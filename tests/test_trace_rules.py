"""Rules, metrics, baselines and thresholds of the tracer against autograd and definitions, on tiny models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from test_trace import IDS, matrix, neurons_of, prompt  # noqa: E402
from trace_models import linearised, tiny  # noqa: E402

from atlas.errors import UsageError  # noqa: E402
from atlas.graph import Graph, NodeKind  # noqa: E402
from atlas.models.cache import Baseline, Blend, activation  # noqa: E402
from atlas.options import TraceOptions  # noqa: E402
from atlas.trace import mean_baseline  # noqa: E402
from atlas.trace.rules import RULES  # noqa: E402
from atlas.trace.tracer import Traced, Tracer  # noqa: E402

OTHERS = [(3, 9, 27, 31), (3, 8, 14, 2, 40, 11), (3, 5)]


def trace_one(model: Any, given: Any, means: Baseline | None = None, **options: Any) -> Traced:
    [traced] = Tracer(model, TraceOptions(**options), baseline=means).trace([given])
    assert isinstance(traced, Traced)
    return traced


def score_of(graph: Graph) -> dict[tuple[int, int, int], float]:
    return dict(zip(neurons_of(graph), graph.nodes.influence.tolist(), strict=False))


def outputs_of(kind: str, logits: Any, targets: list[int], contrasts: list[int]) -> Any:
    """The metric by its definition."""
    if kind == "logprob":
        logits = torch.log_softmax(logits, 0)
    if kind == "centred":
        logits = logits - logits.mean()
    if kind == "logit-diff":
        return logits[targets].mean() - logits[contrasts].mean()
    return logits[targets].sum() - (logits[contrasts].sum() if contrasts else 0)


@pytest.mark.parametrize("kind", ["sum", "logprob", "logit-diff", "centred"])
@pytest.mark.parametrize(("targets", "contrasts"), [([], []), ([7, 9], [11]), ([7], [])])
def test_scores_are_of_the_metric(kind: str, targets: list[int], contrasts: list[int]) -> None:
    model = tiny("olmo2")
    given = prompt(targets=tuple(targets), contrasts=tuple(contrasts))
    traced = trace_one(model, given, tau=0.0, metric=kind, rules="gradient", top_logits=3)
    logits = model.forward([list(IDS)]).logits[0]
    order = torch.argsort(logits, descending=True).tolist()
    if kind == "logit-diff":
        named = targets or order[:1]
        against = contrasts or [next(token for token in order if token not in named)]
    else:
        named, against = targets or order[:3], contrasts
    assert traced.graph.nodes.key[traced.graph.nodes.kind == NodeKind.LOGIT].tolist() == [*named, *against]
    with linearised(model, cut=False, rules=RULES["gradient"]) as found, torch.enable_grad():
        embeddings = model.embedding[list(IDS)][None].clone().requires_grad_()
        metric = outputs_of(kind, model.model(inputs_embeds=embeddings).logits[0, -1], named, against)
        grads = torch.autograd.grad(metric, [found[layer][1] for layer in range(3)])
    assert traced.metric == pytest.approx(float(metric.detach()), rel=1e-9)
    for (layer, at, unit), score in score_of(traced.graph).items():
        expected = float((found[layer][1] * grads[layer])[0, at, unit].detach())
        assert score == pytest.approx(expected, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("kind", ["sum", "logprob", "logit-diff", "centred"])
def test_what_comes_into_an_output_adds_up_to_it(kind: str) -> None:
    model = tiny("llama-biases")
    traced = trace_one(model, prompt(), tau=0.01, metric=kind)
    logits = model.forward([list(IDS)]).logits[0]
    value = {"logprob": torch.log_softmax(logits, 0), "centred": logits - logits.mean()}.get(kind, logits)
    rows = np.flatnonzero(traced.graph.nodes.kind == NodeKind.LOGIT)
    expected = value[traced.graph.nodes.key[rows]]
    np.testing.assert_allclose(matrix(traced.graph).sum(1)[rows], expected, rtol=1e-7)


def test_metrics_but_the_sum_do_not_see_a_constant_added_to_all_logits() -> None:
    model, moved = tiny("llama"), tiny("llama")
    with torch.no_grad():
        last = model.forward([list(IDS)]).final
        direction = torch.nn.functional.normalize(model.final_norm.weight * (last.value * last.scale)[0, -1], dim=0)
        moved.model.lm_head.weight += 3 * direction
    for kind in ("logprob", "logit-diff", "centred"):
        one, other = (score_of(trace_one(m, prompt(), tau=0.0, metric=kind).graph) for m in (model, moved))
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-6, atol=1e-10)
    one, other = (score_of(trace_one(m, prompt(), tau=0.0, metric="sum").graph) for m in (model, moved))
    assert max(abs(one[cell] - other[cell]) for cell in one) > 0.01


def test_means_are_over_prompts_apart_for_the_first_position() -> None:
    model = tiny("qwen3")
    mean = mean_baseline(model, OTHERS)
    runs = [torch.stack([activation(layer)[0] for layer in model.forward([list(ids)]).layers]) for ids in OTHERS]
    first = torch.stack([run[:, 0] for run in runs]).mean(0)
    rest = torch.cat([run[:, 1:] for run in runs], 1).mean(1)
    torch.testing.assert_close(mean.neurons, torch.stack([first, rest], 1), rtol=1e-12, atol=1e-14)
    tokens = [token for ids in OTHERS for token in ids[1:]]
    torch.testing.assert_close(mean.tokens[1], model.embedding[tokens].mean(0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rules", ["relp", "gradient"])
def test_from_the_mean_a_source_is_its_distance_from_it(rules: str) -> None:
    model = tiny("mistral")
    mean = mean_baseline(model, OTHERS)
    zero, moved = (
        trace_one(model, prompt(), mean, tau=0.0, rules=rules, baseline=kind).graph for kind in ("zero", "mean")
    )
    active = [activation(layer)[0] for layer in model.forward([list(IDS)]).layers]
    share = {}
    for layer, at, unit in neurons_of(zero):
        share[layer, at, unit] = 1 - float(mean.neurons[layer, int(at > 0), unit] / active[layer][at, unit])
    scores, moved_scores = score_of(zero), score_of(moved)
    for cell in scores.keys() & moved_scores.keys():
        assert moved_scores[cell] == pytest.approx(scores[cell] * share[cell], rel=1e-7, abs=1e-12)
    assert zero.info.space != moved.info.space
    assert zero.info.content_hash != moved.info.content_hash
    # What comes in still adds up to the activation: the baselines are in the error.
    neurons = np.flatnonzero(moved.nodes.kind == NodeKind.NEURON)
    np.testing.assert_allclose(matrix(moved).sum(1)[neurons], moved.nodes.activation[neurons], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama-biases", "qwen3", "olmo3"])
def test_integrated_gradients_add_up_to_the_change_from_the_baseline(architecture: str) -> None:
    """The sum over all sources is the target at the prompt less the target at the baseline, for many steps."""
    model = tiny(architecture)
    mean = mean_baseline(model, OTHERS)
    graph = trace_one(model, prompt(), mean, tau=0.0, max_nodes=10_000, rules="integrated-gradients", steps=100).graph
    run = model.forward([list(IDS)])
    start = model.forward([list(IDS)], Blend(run, mean, 0.0))
    weights, cells = matrix(graph), neurons_of(graph)
    assert len(cells) > 140
    rows = np.flatnonzero(graph.nodes.kind == NodeKind.LOGIT)
    expected = (run.logits - start.logits)[0, graph.nodes.key[rows]]
    np.testing.assert_allclose(weights[rows][:, :-1].sum(1), expected, rtol=0.01, atol=0.01)
    for row, (layer, at, unit) in enumerate(cells):
        moved = float((activation(run.layers[layer]) - activation(start.layers[layer]))[0, at, unit])
        assert weights[row, :-1].sum() == pytest.approx(moved, rel=0.03, abs=0.005)
        # With the error node, the links add up to the activation itself.
        assert weights[row].sum() == pytest.approx(graph.nodes.activation[row], rel=1e-9, abs=1e-12)


def test_a_blend_writes_what_it_says() -> None:
    model = tiny("llama")
    mean = mean_baseline(model, OTHERS)
    run = model.forward([list(IDS)])
    whole = model.forward([list(IDS)], Blend(run, mean, 1.0))
    torch.testing.assert_close(whole.logits, run.logits, rtol=1e-12, atol=1e-12)
    half = model.forward([list(IDS)], Blend(run, mean, 0.5))
    written = mean.of_neurons(1, len(IDS)) + 0.5 * (activation(run.layers[1])[0] - mean.of_neurons(1, len(IDS)))
    expected = model.blocks[1].mlp.module.down_proj(written)
    torch.testing.assert_close(half.layers[1].mlp_out[0], expected, rtol=1e-12, atol=1e-12)


def test_integrated_gradients_are_a_mean_over_the_path() -> None:
    model = tiny("qwen2")
    mean = mean_baseline(model, OTHERS)
    graph = trace_one(model, prompt(), mean, tau=0.0, rules="integrated-gradients", steps=3, top_logits=1).graph
    token = int(graph.nodes.key[graph.nodes.kind == NodeKind.LOGIT][0])
    run = model.forward([list(IDS)])
    total = torch.zeros(3, len(IDS), 12, dtype=torch.float64)
    for share in (1 / 6, 3 / 6, 5 / 6):
        blend = Blend(run, mean, share)
        handles = []
        leaves = [torch.zeros(1, len(IDS), 12, dtype=torch.float64, requires_grad=True) for _ in range(3)]
        for layer, block in enumerate(model.blocks):

            def shift(_: Any, args: Any, layer: int = layer, blend: Blend = blend, leaves: Any = leaves) -> Any:
                # The neuron writes the blend, and still depends on what it reads.
                return (args[0] - args[0].detach() + blend.neurons(layer) + leaves[layer],)

            handles.append(block.mlp.module.down_proj.register_forward_pre_hook(shift))
        with torch.enable_grad():
            logits = model.model(inputs_embeds=blend.tokens().requires_grad_()).logits
            total += torch.stack([grad[0] for grad in torch.autograd.grad(logits[0, -1, token], leaves)]) / 3
        for handle in handles:
            handle.remove()
    for (layer, at, unit), score in score_of(graph).items():
        moved = float(activation(run.layers[layer])[0, at, unit] - mean.neurons[layer, int(at > 0), unit])
        assert score == pytest.approx(moved * float(total[layer, at, unit]), rel=1e-7, abs=1e-12)


def test_score_gradient_is_the_score_by_the_gradient() -> None:
    model = tiny("olmo3")
    relp = trace_one(model, prompt(), tau=0.0).graph
    gradient = score_of(trace_one(model, prompt(), tau=0.0, rules="gradient").graph)
    assert relp.tracing is not None
    for row, cell in enumerate(neurons_of(relp)):
        assert relp.tracing.score_gradient[row] == pytest.approx(gradient.get(cell, 0.0), rel=1e-9, abs=1e-12)
    assert np.isnan(relp.tracing.score_gradient[len(neurons_of(relp)) :]).all()


def test_tau_of_scores_does_not_vanish_with_the_metric() -> None:
    model = tiny("llama")
    given = prompt(targets=(7,), contrasts=(11,))
    every = trace_one(model, given, tau=0.0, max_nodes=10_000).graph
    total = np.abs(every.nodes.influence[every.nodes.kind == NodeKind.NEURON]).sum()
    some = trace_one(model, given, tau=0.01, tau_of="scores").graph
    assert some.tracing is not None
    assert some.tracing.score_sum == pytest.approx(total, rel=1e-9)
    expected = {cell for cell, score in score_of(every).items() if abs(score) >= 0.01 * total}
    assert set(neurons_of(some)) == expected
    assert TraceOptions().threshold == 0.001
    assert TraceOptions(tau_of="metric").threshold == 0.005


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong, said in (
        ({"rules": "lrp"}, "rules 'lrp' is none; there are relp, relp-live-norms, gradient, integrated-gradients"),
        ({"metric": "loss"}, "metric 'loss' is none"),
        ({"rules": "integrated-gradients", "baseline": "zero"}, "integrated gradients need --baseline mean"),
        ({"steps": 0}, "steps must be 1 or more, not 0"),
        ({"tau": float("nan")}, "tau must be from 0 to below 1, not nan"),
    ):
        with pytest.raises(UsageError, match=said):
            TraceOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the means"):
        Tracer(tiny("llama"), TraceOptions(baseline="mean"))


_PRINT = """
import sys; sys.path[:0] = [{tests!r}]
import numpy as np, test_trace, trace_models
graph = test_trace.trace_one(trace_models.tiny({name!r}), test_trace.prompt(), tau=0.0).graph
np.save({out!r}, np.concatenate([test_trace.matrix(graph).ravel(), graph.nodes.activation[:100], graph.nodes.influence[:100]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "olmo3"])
def test_float64_is_the_same_with_other_vectors_of_the_processor(architecture: str, tmp_path: Path) -> None:
    found = []
    for capability in ("default", "avx2"):
        out = tmp_path / f"{capability}.npy"
        script = _PRINT.format(tests=str(Path(__file__).parent), name=architecture, out=str(out))
        environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd=tmp_path)
        found.append(np.load(out))
    # A step in float32 moves the seventh digit.
    np.testing.assert_allclose(found[0], found[1], rtol=1e-11, atol=1e-14)
