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
from atlas.trace.linear import activation  # noqa: E402
from atlas.trace.tracer import FLOW, Prompt, Traced, TraceOptions, Tracer  # noqa: E402

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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_edge_is_its_definition(architecture: str) -> None:
    model = tiny(architecture)
    graph = trace_one(model, prompt(), tau=0.0, top=3).graph
    cells, weights = neurons_of(graph), matrix(graph)
    logit_rows = np.flatnonzero(graph.nodes.kind == NodeKind.LOGIT)
    embeddings = model.embedding[list(IDS)][None].clone().requires_grad_()
    assert len(cells) > 100
    with linearised(model, cut=True) as found, torch.enable_grad():
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
