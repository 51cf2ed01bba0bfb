"""Speed and memory of the tracer, beside one autograd call per target on the same model.

    make bench-trace              # this and bench_faithful.py
    python tests/bench/bench_trace.py --graphs 5

The twin runs the model of `transformers` by the same rules (tests/trace_models.py) and asks autograd for the
effects on one kept neuron or logit after the other; it is given the kept neurons. Both must find the same effects. "forward
and backward" is one plain pass of the model with one gradient of the metric: the least that any tracer does.
Memory: `atlas trace` over corpora of two sizes in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import measure
import models
import numpy as np
import torch
import trace_models

from atlas.graph import Graph, NodeKind, Reject
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.models import Prompt, TracedModel
from atlas.options import TraceOptions
from atlas.trace import Tracer

MEMORY = 512_000_000  # of the statistics; the process with torch and the model comes on top


def forward_and_backward(model: TracedModel, prompt: Prompt) -> None:
    embeddings = model.embedding[list(prompt.ids)][None].clone().requires_grad_()
    logits = model.model(inputs_embeds=embeddings).logits[0, -1]
    torch.autograd.grad(torch.topk(logits, 5).values.sum(), embeddings)


def one_call_per_target(model: TracedModel, prompt: Prompt, graph: Graph) -> np.ndarray:
    """Weights by (target, source) for neurons and logits, from neurons and tokens; one call for each target."""
    rows = np.flatnonzero(graph.nodes.kind == NodeKind.NEURON)
    key = torch.from_numpy(graph.nodes.key[rows])
    layer, unit = key >> INDEX_BITS, key & MAX_INDEX
    at = torch.from_numpy(graph.nodes.position[rows]).long()
    logit_ids = graph.nodes.key[graph.nodes.kind == NodeKind.LOGIT].tolist()
    embeddings = model.embedding[list(prompt.ids)][None].clone().requires_grad_()
    found_weights = np.zeros((len(rows) + len(logit_ids), len(rows) + len(prompt.ids)))
    with trace_models.linearised(model, cut=True) as found:
        logits = model.model(inputs_embeds=embeddings).logits[0, -1]
        count = len(model.blocks)
        written = [found[number][1] for number in range(count)]
        neurons = torch.stack([found[number][0][0] for number in range(count)])
        effect = torch.stack([one.detach()[0] for one in written])
        targets = [*neurons[layer, at, unit].unbind(), *logits[logit_ids].unbind()]
        for row, target in enumerate(targets):
            grads = torch.autograd.grad(
                target, [*written, embeddings], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            every = torch.stack([grad[0] for grad in grads[:-1]]) * effect
            found_weights[row, : len(rows)] = every[layer, at, unit]
            found_weights[row, len(rows) :] = (grads[-1] * embeddings)[0].sum(-1).detach()
    return found_weights


def weights(graph: Graph, tokens: int) -> np.ndarray:
    """The same matrix, of a traced graph."""
    kept = int((graph.nodes.kind == NodeKind.NEURON).sum())
    size = len(graph.nodes.kind)
    found = np.zeros((size, size))
    found[graph.links.target, graph.links.source] = graph.links.weight
    targets = [*range(kept), *range(kept + tokens, size - 1)]
    return found[targets][:, : kept + tokens]


def speed(title: str, model: TracedModel, prompts: list[Prompt], options: TraceOptions) -> None:
    tracer = Tracer(model, options)
    tracer.trace(prompts[:1])  # what is done once
    seconds = {"ours": 0.0, "one autograd call per target": 0.0, "forward and backward": 0.0}
    targets = worst = 0.0
    for prompt in prompts:
        started = time.perf_counter()
        [traced] = tracer.trace([prompt])
        seconds["ours"] += time.perf_counter() - started
        assert not isinstance(traced, Reject)
        started = time.perf_counter()
        expected = one_call_per_target(model, prompt, traced.graph)
        seconds["one autograd call per target"] += time.perf_counter() - started
        started = time.perf_counter()
        forward_and_backward(model, prompt)
        seconds["forward and backward"] += time.perf_counter() - started
        targets += len(expected)
        worst = max(worst, float(abs(weights(traced.graph, len(prompt.ids)) - expected).max() / abs(expected).max()))
    count = len(prompts)
    length = sum(len(prompt.ids) for prompt in prompts) / count
    print(f"\n{title}: {count} graphs of {length:.0f} tokens, {targets / count:.0f} targets each")
    for name, total in seconds.items():
        print(f"  {name:30} {total / count * 1e3:9.1f} ms/graph {total / seconds['ours']:8.2f} x ours")
    print(f"  largest difference {worst:.1e} of the largest effect")
    assert worst < 1e-3, "the twin finds other effects"


def memory(count: int) -> None:
    """Peak of `atlas trace` by size of the corpus."""
    lines = (models.ROOT / "build" / "demo" / "prompts.jsonl").read_text().splitlines()
    print(f"\natlas trace --memory {MEMORY / 1e6:.0f}MB on the demo model, by size of the corpus")
    for copies in (1, max(count // 4, 1), count):
        with tempfile.TemporaryDirectory() as work:
            corpus = Path(work) / "prompts.jsonl"
            # A comment in front makes each copy prompts of its own.
            rows = [
                {**json.loads(line), "text": f"# {copy}\n{json.loads(line)['text']}"}
                for copy in range(copies)
                for line in lines
            ]
            corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
            _, seconds, peak = measure.run([__file__, "--child", str(corpus), str(Path(work) / "stats")])
            print(
                f"  {len(rows):6,} prompts {seconds:8.1f} s {seconds / len(rows) * 1e3:6.1f} ms/prompt {peak:8,.0f} MB"
            )


def child(corpus: str, out: str) -> None:
    from atlas.pipeline import trace_prompts

    model, _ = models.demo()
    trace_prompts(model, Path(corpus), Path(out), memory=MEMORY)
    print("{}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=20)
    parser.add_argument("--copies", type=int, default=40, help="of the demo's prompts, for memory")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print(f"{measure.cores()}, torch {torch.__version__}")
    model, prompts = models.demo()
    speed("demo model", model, prompts[: options.graphs], TraceOptions())
    if models.has_stories():
        with tempfile.TemporaryDirectory() as work:
            model, prompts = models.stories(Path(work))
        speed("stories260K", model, prompts[: options.graphs], TraceOptions())
    model, prompts = models.wide()
    speed(
        "random model, 12 layers x 2,048 neurons, width 512",
        model,
        prompts[: min(3, options.graphs)],
        TraceOptions(tau=0.0),
    )
    memory(options.copies)


if __name__ == "__main__":
    main()
