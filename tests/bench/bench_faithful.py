"""Faithfulness: how much of the metric do the kept neurons keep, when all others are set to their mean?

    make bench-trace              # this and bench_trace.py
    python tests/bench/bench_faithful.py --prompts 20

For each prompt as many neurons (cells of layer, position, neuron) as the tracer keeps are left as they are,
chosen by each of the ways below; all others are set to their mean over all positions of 200 other prompts. With m
the sum of the five highest logits of the whole model: faithfulness = (m(kept) - m(none)) / (m(all) - m(none)),
as sums over prompts, so that prompts on which nothing is at stake weigh nothing. Beside it, how often
the model's own best token stays the best, and the divergence from its prediction in nats.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import models
import torch
from torch import Tensor

from atlas.graph import NodeKind, Reject
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.models.model import Cache, TracedModel, activation
from atlas.models.prompts import Prompt
from atlas.options import TraceOptions
from atlas.trace.tracer import Tracer

BACKGROUND = 200
TAUS = (0.0025, 0.005, 0.01, 0.02, 0.05)


@dataclass
class Kept:
    """Sums over prompts of one way to choose."""

    metric: float = 0.0
    agree: int = 0
    divergence: list[float] = field(default_factory=list)


def means(model: TracedModel, prompts: list[Prompt]) -> Tensor:
    """Mean activation of every neuron over all positions, (layers, m)."""
    total, positions = torch.zeros(len(model.blocks), model.neurons, dtype=torch.float64), 0
    for prompt in prompts:
        cache = model.forward([list(prompt.ids)])
        total += torch.stack([activation(layer)[0].double().sum(0) for layer in cache.layers])
        positions += len(prompt.ids)
    return (total / positions).float()


@contextmanager
def ablated(model: TracedModel, kept: Tensor, mean: Tensor) -> Iterator[None]:
    """Neurons outside the mask (layers, n, m) put out their mean."""
    hooks = []
    for number, block in enumerate(model.blocks):

        def before(_: object, args: tuple[Tensor, ...], number: int = number) -> tuple[Tensor]:
            return (torch.where(kept[number], args[0], mean[number]),)

        hooks.append(block.mlp.module.down_proj.register_forward_pre_hook(before))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def strongest(value: Tensor, count: int) -> Tensor:
    mask = torch.zeros(value.numel(), dtype=torch.bool)
    mask[torch.topk(value.abs().flatten(), count).indices] = True
    return mask.view_as(value)


def kept_mask(graph, shape: torch.Size) -> Tensor:
    mask = torch.zeros(shape, dtype=torch.bool)
    rows = graph.nodes.kind == NodeKind.NEURON
    key = torch.from_numpy(graph.nodes.key[rows])
    mask[key >> INDEX_BITS, torch.from_numpy(graph.nodes.position[rows]).long(), key & MAX_INDEX] = True
    return mask


def choices(model: TracedModel, cache: Cache, mask: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Other ways to choose as many cells."""
    active = torch.stack([activation(layer)[0] for layer in cache.layers])
    norms = torch.stack([block.mlp.module.down_proj.weight.norm(dim=0) for block in model.blocks])[:, None]
    count = int(mask.sum())
    random = torch.rand(active.shape, generator=torch.Generator().manual_seed(count))
    return {
        "RelP (the tracer)": mask,
        "top activation": strongest(active, count),
        "top activation x output norm": strongest(active * norms, count),
        "furthest from the mean x output norm": strongest((active - mean[:, None]) * norms, count),
        "random": strongest(random, count),
        "none": torch.zeros_like(mask),
        "all": torch.ones_like(mask),
    }


def measure_one(
    model: TracedModel, prompts: list[Prompt], mean: Tensor, tau: float
) -> tuple[dict[str, Kept], float, float]:
    """By way of choosing; with the mean number of neurons kept, and their share of all cells."""
    tracer = Tracer(model, TraceOptions(tau=tau))
    found: dict[str, Kept] = {}
    sizes, shares = [], []
    for prompt in prompts:
        [traced] = tracer.trace([prompt])
        assert not isinstance(traced, Reject)
        cache = model.forward([list(prompt.ids)])
        mask = kept_mask(traced.graph, torch.Size((len(model.blocks), len(prompt.ids), model.neurons)))
        sizes.append(int(mask.sum()))
        shares.append(sizes[-1] / mask.numel())
        top = torch.topk(cache.logits[0], tracer.options.top_logits).indices
        whole = torch.log_softmax(cache.logits[0].double(), 0)
        for name, kept in choices(model, cache, mask, mean).items():
            with ablated(model, kept, mean):
                logits = model.forward([list(prompt.ids)]).logits[0]
            row = found.setdefault(name, Kept())
            row.metric += float(logits[top].sum())
            row.agree += int(logits.argmax() == top[0])
            row.divergence.append(float((whole.exp() * (whole - torch.log_softmax(logits.double(), 0))).sum()))
    return found, sum(sizes) / len(sizes), sum(shares) / len(shares)


def report(
    title: str, load: Callable[[Path], tuple[TracedModel, list[Prompt]]], count: int, taus: tuple[float, ...]
) -> None:
    with tempfile.TemporaryDirectory() as work:
        model, prompts = load(Path(work))
    background, asked = prompts[count : count + BACKGROUND], prompts[:count]
    mean = means(model, background)
    print(f"\n{title}: {len(asked)} prompts, means over {len(background)} others")
    print(f"{'':38} {'metric kept':>11} {'same token':>10} {'nats':>6}")
    for tau in taus:
        found, size, share = measure_one(model, asked, mean, tau)
        print(f"tau {tau}: {size:.0f} neurons per graph, {share:.1%} of all")
        none, whole = found["none"].metric, found["all"].metric
        for name, row in found.items():
            kept = (row.metric - none) / (whole - none)
            nats = sorted(row.divergence)[len(row.divergence) // 2]
            print(f"  {name:36} {kept:11.1%} {row.agree / len(asked):10.0%} {nats:6.3f}")
        assert abs(found["all"].divergence[0]) < 1e-9, "keeping all changes nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--tau", type=float, action="append")
    options = parser.parse_args()
    taus = tuple(options.tau or TAUS)
    with torch.no_grad():
        report("demo model", models.demo, options.prompts, taus)
        if models.has_stories():
            report("stories260K", models.stories, options.prompts, taus)


if __name__ == "__main__":
    main()
