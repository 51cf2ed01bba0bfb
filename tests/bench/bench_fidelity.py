"""Fidelity of attribution rules: predicted effects beside the effects of cutting nodes and edges in the real model.

    make bench-fidelity
    python tests/bench/bench_fidelity.py --prompts 20 --model ./my-model --corpus prompts.jsonl

For each rule and baseline, the 100 strongest neurons of each prompt are kept, and random nodes and edges of every graph
are cut. Printed are Spearman's rank correlation of prediction and effect, the slope of the effect on the prediction, and
the share of equal signs, pooled over prompts; edges also by their share of the target's value.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import models
import numpy as np
import torch

from atlas.graph import NodeKind, Reject
from atlas.models import Prompt, TracedModel
from atlas.options import TraceOptions
from atlas.trace import Tracer, mean_baseline

PER_PROMPT = 100  # of nodes, of edges between neurons, of edges to outputs
RULES = (
    ("relp", "zero"), ("relp", "mean"), ("relp-live-norms", "zero"), ("relp-live-norms", "mean"),
    ("gradient", "zero"), ("gradient", "mean"), ("integrated-gradients", "mean"),
)  # fmt: skip
SIZES = (("all", 0.0, np.inf), (">= 5 %", 0.05, np.inf), ("1 to 5 %", 0.01, 0.05), ("< 1 %", 0.0, 0.01))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, where equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[place]


def fidelity(predicted: np.ndarray, effect: np.ndarray) -> str:
    """Rank correlation, slope and share of equal signs."""
    if len(predicted) < 3:
        return f"{len(predicted):7} {'':20}"
    rank = np.corrcoef(ranks(predicted), ranks(effect))[0, 1]
    slope = np.cov(predicted, effect)[0, 1] / np.var(predicted, ddof=1)
    return f"{len(predicted):7} {rank:6.3f} {slope:6.2f} {np.mean(np.sign(predicted) == np.sign(effect)):6.1%}"


def measure(model: TracedModel, prompts: list[Prompt], tracer: Tracer) -> dict[str, tuple[np.ndarray, ...]]:
    """Predictions, effects and shares of nodes, edges between neurons and edges to outputs."""
    tracer.ablations_per_graph = PER_PROMPT
    found: dict[str, list[tuple[np.ndarray, ...]]] = {"nodes": [], "edges": [], "edges to outputs": []}
    for prompt in prompts:
        [traced] = tracer.trace([prompt])
        assert not isinstance(traced, Reject)
        nodes, facts = traced.graph.nodes, traced.graph.tracing
        cut = facts.ablated
        share = np.abs(nodes.influence[cut.node]) / facts.score_sum
        found["nodes"].append((nodes.influence[cut.node], cut.node_effect, share, facts.score_gradient[cut.node]))
        share = np.abs(cut.predicted) / np.abs(cut.target_value)
        between = nodes.kind[cut.target] == NodeKind.NEURON
        for name, some in (("edges", between), ("edges to outputs", ~between)):
            found[name].append((cut.predicted[some], cut.edge_effect[some], share[some]))
    return {name: tuple(map(np.concatenate, zip(*rows, strict=True))) for name, rows in found.items()}


def report(title: str, model: TracedModel, prompts: list[Prompt], count: int) -> None:
    mean = mean_baseline(model, [prompt.ids for prompt in prompts[count : count + 200]])
    print(
        f"\n{title}: {count} prompts, the 100 strongest neurons of each; means over {len(prompts[count : count + 200])} others"
    )
    print(f"{'':42} {'n':>7} {'rho':>6} {'slope':>6} {'sign':>6}")
    for rules, baseline in RULES:
        options = TraceOptions(tau=0.0, max_nodes=100, rules=rules, baseline=baseline)
        found = measure(model, prompts[:count], Tracer(model, options, baseline=mean))
        print(f"{rules}, baseline {baseline}")
        for name, (predicted, effect, share, *_) in found.items():
            for size, least, most in SIZES if name != "nodes" else SIZES[:1]:
                some = (share >= least) & (share < most)
                print(f"  {name:20} {size:19} {fidelity(predicted[some], effect[some])}")
        predicted, effect, _, gradient = found["nodes"]
        print(f"  {'the same nodes':20} {'by score_gradient':19} {fidelity(gradient, effect)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=40)
    options = parser.parse_args()
    with torch.no_grad(), tempfile.TemporaryDirectory() as work:
        report("demo model", *models.demo(), options.prompts)
        if models.has_stories():
            report("stories260K", *models.stories(Path(work)), options.prompts)


if __name__ == "__main__":
    main()
