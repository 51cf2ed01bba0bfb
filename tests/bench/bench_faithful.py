"""Faithfulness: how much of a prediction do a few neurons, or a few edges, keep when all others are taken away?

    make bench-faithful
    python tests/bench/bench_faithful.py --model ./my-model --corpus prompts.jsonl -o results

**Neurons.** Cells (layer, position, neuron) are ranked by each method. The first k of them compute as they do, and all others
write a reference: their mean at that position over other prompts, or (resample) their value in another prompt. With m
a metric, f = (m(kept) - m(none)) / (m(all) - m(none)), as sums over prompts, so that prompts on which nothing is at
stake weigh nothing. CPR is the mean of f over sizes, with cells ranked by signed score; CMD is the mean of |1 - f|, ranked by
|score| (Mueller et al., "MIB: A mechanistic interpretability benchmark", 2025), both over log size from 0.1 to 100 %.
Completeness: f when the first k are taken away and all others stay (0 is best). Minimality: of cells in the circuit
of 1 %, the share whose removal changes the metric by less than 0.5 %, and the share whose removal raises it.

**Edges.** The 100 strongest neurons are kept. Each of them, and each output, is computed in a run of its own, in which
sources write what they have in the circuit along kept edges and their reference elsewhere. Attention and norms are live.

Metrics: `sum` of the five highest logits, `centred` (less 5 x mean logit), `logit-diff` (highest less second).
Beside them KL from the whole model's prediction, and how often its best token stays the best. Intervals are the
central 90 % of 500 bootstraps over prompts. The table is faithful.csv, the picture faithful.png.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import models
import numpy as np
import torch
from torch import Tensor

from atlas.models import Prompt, TracedModel, load_model
from atlas.models.cache import Baseline, Cache, activation
from atlas.options import PromptOptions, TraceOptions
from atlas.trace import Tracer, mean_baseline
from atlas.trace.effects import NodeIndex, Sources, direct_effects
from atlas.trace.metrics import choose_outputs
from atlas.trace.rules import RULES

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
EDGE_SIZES = (0.01, 0.03, 0.1, 0.3, 1.0)
EDGE_NODES = 100
METRICS = ("sum", "centred", "logit-diff")
BACKGROUND, BOOTSTRAPS, ROWS = 200, 500, 128
METHODS = {
    "RelP": ("relp", "zero"),
    "RelP from the mean": ("relp", "mean"),
    "RelP, live norms": ("relp-live-norms", "mean"),
    "gradient x activation": ("gradient", "zero"),
    "AtP (gradient from the mean)": ("gradient", "mean"),
    "integrated gradients": ("integrated-gradients", "mean"),
}
Row = dict[str, float]


@dataclass(frozen=True)
class Reference:
    """Values that neurons write where they are taken away, (layers, n, m)."""

    name: str
    values: Tensor


def position_means(model: TracedModel, prompts: list[Prompt], positions: int) -> Tensor:
    """Mean activation of every neuron at every position, (layers, positions, m); of all but the first where there is none."""
    total = torch.zeros(len(model.blocks), positions, model.neurons, dtype=torch.float64)
    counts = torch.zeros(positions, 1, dtype=torch.float64)
    for prompt in prompts:
        active = activations(model.forward([list(prompt.ids)]))[:, :positions].double()
        total[:, : active.shape[1]] += active
        counts[: active.shape[1]] += 1
    overall = total[:, 1:].sum(1, keepdim=True) / counts[1:].sum().clamp(min=1)
    return torch.where(counts >= 10, total / counts.clamp(min=1), overall).to(model.model.dtype)


def activations(cache: Cache) -> Tensor:
    return torch.stack([activation(layer)[0] for layer in cache.layers])


class Measured:
    """Metrics of ablated runs of one prompt."""

    def __init__(self, model: TracedModel, prompt: Prompt, cache: Cache) -> None:
        self.model, self.prompt, self.cache = model, prompt, cache
        self.outputs = {kind: choose_outputs(kind, cache.logits[0], (), (), 5) for kind in METRICS}
        self.whole = torch.log_softmax(cache.logits[0].double(), 0)

    def rows(self, logits: Tensor) -> list[Row]:
        """The metrics of every row of logits."""
        share = torch.log_softmax(logits.double(), -1)
        found = {kind: chosen.metric(logits.double().to(chosen.shares.dtype)) for kind, chosen in self.outputs.items()}
        found["kl"] = (self.whole.exp() * (self.whole - share)).sum(-1)
        found["same token"] = (logits.argmax(-1) == self.whole.argmax()).double()
        return [{name: float(values[i]) for name, values in found.items()} for i in range(len(logits))]

    def keeping(self, masks: Tensor, reference: Tensor) -> list[Row]:
        """The metrics where neurons outside each mask (rows, layers, n, m) write the reference."""
        found = []
        for some in masks.split(ROWS):

            def write(layer: int, active: Tensor, some: Tensor = some) -> Tensor:
                return torch.where(some[:, layer], active, reference[layer].to(active.dtype))

            with self.model.writing(write):
                found += self.rows(self.model.last_logits([list(self.prompt.ids)] * len(some)))
        return found

    def keeping_edges(self, cells: NodeIndex, kept: Tensor, reference: Tensor) -> Row:
        """The metrics where targets read along kept edges alone; `kept` (neurons + outputs, neurons)."""
        held = self.cache.logits.new_tensor(reference[cells.layer, cells.position, cells.neuron].tolist())
        for number in range(len(self.model.blocks)):
            targets = torch.nonzero(cells.layer == number).flatten()
            for some in targets.split(ROWS):
                held[some] = self._read(cells, kept[some], held, reference, number, some)
        outputs = self.outputs["sum"].tokens
        logits = self._logits(cells, kept[len(cells) :], held, reference)
        # Each output is read from the run of its own edges; the rest of the vocabulary from that of the first.
        joined = logits[0].clone()
        joined[outputs] = logits[torch.arange(len(outputs)), outputs]
        return self.rows(joined[None])[0]

    def _writer(
        self, cells: NodeIndex, kept: Tensor, held: Tensor, reference: Tensor
    ) -> Callable[[int, Tensor], Tensor]:
        def write(layer: int, active: Tensor) -> Tensor:
            mine = torch.nonzero(cells.layer == layer).flatten()
            written = reference[layer].to(active.dtype).expand_as(active).clone()
            at, unit = cells.position[mine], cells.neuron[mine]
            apart = reference[layer, at, unit].to(active.dtype)
            written[:, at, unit] = torch.where(kept[:, mine], held[mine].to(active.dtype), apart)
            return written

        return write

    def _read(
        self, cells: NodeIndex, kept: Tensor, held: Tensor, reference: Tensor, number: int, targets: Tensor
    ) -> Tensor:
        seen = held.new_zeros(len(targets))
        write = self._writer(cells, kept, held, reference)

        def reading(layer: int, active: Tensor) -> Tensor:
            if layer == number:
                seen[:] = active[torch.arange(len(targets)), cells.position[targets], cells.neuron[targets]].to(seen)
            return write(layer, active)

        with self.model.writing(reading):
            self.model.last_logits([list(self.prompt.ids)] * len(targets))
        return seen

    def _logits(self, cells: NodeIndex, kept: Tensor, held: Tensor, reference: Tensor) -> Tensor:
        with self.model.writing(self._writer(cells, kept, held, reference)):
            return self.model.last_logits([list(self.prompt.ids)] * len(kept))


def scores(
    model: TracedModel, prompt: Prompt, cache: Cache, baseline: Baseline, reference: Tensor
) -> dict[str, Tensor]:
    """The scores of all cells by every method, (layers, n, m)."""
    found = {}
    for name, (rules, start) in METHODS.items():
        tracer = Tracer(model, TraceOptions(rules=rules, baseline=start), baseline=baseline)
        found[name] = tracer.scores([list(prompt.ids)], cache, [choose_outputs("sum", cache.logits[0], (), (), 5)])[
            :, 0
        ]
    norms = torch.stack([block.mlp.module.down_proj.weight.norm(dim=0) for block in model.blocks])[:, None]
    found["distance from the mean x output norm"] = (activations(cache) - reference).abs() * norms
    seed = sum(prompt.ids)
    found["random"] = torch.rand(reference.shape, generator=torch.Generator().manual_seed(seed)).to(reference.dtype)
    return found


def first(score: Tensor, share: float) -> Tensor:
    mask = torch.zeros(score.numel(), dtype=torch.bool)
    mask[torch.topk(score.flatten(), max(1, round(share * score.numel()))).indices] = True
    return mask.view_as(score)


def minimality(measured: Measured, score: Tensor, reference: Tensor, count: int = 40) -> tuple[int, int, int]:
    """Cells tried, those whose removal changes the metric by less than 0.5 %, and those whose removal raises it."""
    circuit = first(score.abs(), 0.01)
    cells = torch.nonzero(circuit)
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(len(cells)))[:count]
    masks = circuit.repeat(len(order) + 1, *([1] * circuit.ndim))
    for row, (layer, at, unit) in enumerate(cells[order].tolist(), 1):
        masks[row, layer, at, unit] = False
    values = np.array([row["sum"] for row in measured.keeping(masks, reference)])
    change = values[0] - values[1:]
    little = np.abs(change) < 0.005 * abs(float(measured.outputs["sum"].metric(measured.cache.logits[0])))
    return len(change), int(little.sum()), int((change < 0).sum())


def edge_effects(
    model: TracedModel, cache: Cache, baseline: Baseline, name: str, score: Tensor
) -> tuple[NodeIndex, Tensor]:
    """The strongest neurons by a method, and the direct effects between them and on the outputs."""
    top = torch.topk(score.abs().flatten(), EDGE_NODES).indices.sort().values
    cells = NodeIndex(*torch.unravel_index(top, score.shape))
    rules, start = METHODS[name]
    active = cells.of(activations(cache))
    if start == "mean":
        active = active - baseline.at(cells.layer, cells.position, cells.neuron)
    outputs = choose_outputs("sum", cache.logits[0], (), (), 5)
    sources = Sources(cells, active, cache.embedding[0])
    rows = outputs.gradients(model, cache.logits[0])
    return cells, direct_effects(model, cache, sources, rows, RULES[rules], batch=64).neurons


Found = dict[tuple[str, ...], list[list[float]]]  # per prompt: values of a curve


def of_prompt(
    model: TracedModel, prompt: Prompt, baseline: Baseline, reference: Reference
) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """The rows of every method: kept, taken away, edges; with those of nothing and of all in front."""
    cache = model.forward([list(prompt.ids)])
    measured = Measured(model, prompt, cache)
    shape = (1, *reference.values.shape)
    ends = measured.keeping(
        torch.cat([torch.zeros(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool)]), reference.values
    )
    for name, score in scores(model, prompt, cache, baseline, reference.values).items():
        signed = torch.stack([first(score, share) for share in SIZES])
        absolute = torch.stack([first(score.abs(), share) for share in SIZES])
        yield (name, "signed"), ends + measured.keeping(signed, reference.values)
        yield (name, "absolute"), ends + measured.keeping(absolute, reference.values)
        yield (name, "taken away"), ends + measured.keeping(~absolute, reference.values)
        if reference.name == "mean":
            tried, little, raising = minimality(measured, score, reference.values)
            yield (name, "minimality"), [{"tried": tried, "little": little, "raising": raising}]
            if name in METHODS and not RULES[METHODS[name][0]].on_path:
                cells, effects = edge_effects(model, cache, baseline, name, score)
                rows = []
                for share in EDGE_SIZES:
                    possible = effects != 0
                    least = torch.topk(effects[possible].abs(), max(1, round(share * int(possible.sum())))).values[-1]
                    rows.append(measured.keeping_edges(cells, possible & (effects.abs() >= least), reference.values))
                yield (name, "edges"), ends + rows


def curve(rows: np.ndarray) -> np.ndarray:
    """f by size, from metrics (prompts, none + all + sizes)."""
    none, whole, kept = rows[:, 0].sum(), rows[:, 1].sum(), rows[:, 2:].sum(0)
    return (kept - none) / (whole - none)


def area(values: np.ndarray) -> float:
    """Mean over log size."""
    return float(np.trapezoid(values, np.log(SIZES)) / np.log(SIZES[-1] / SIZES[0]))


def interval(rows: np.ndarray, of: Callable[[np.ndarray], float]) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    found = [of(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(found, [0.05, 0.95])
    return of(rows), float(low), float(high)


def report(title: str, model: TracedModel, prompts: list[Prompt], count: int, out: Path) -> None:
    asked, others = prompts[:count], prompts[count : count + BACKGROUND]
    means = position_means(model, others, max(len(prompt.ids) for prompt in asked))
    baseline = mean_baseline(model, [prompt.ids for prompt in others])
    print(f"\n{title}: {len(asked)} prompts, references from {len(others)} others")
    for kind in ("mean", "resample"):
        found: dict[tuple[str, ...], list[list[Row]]] = defaultdict(list)
        for number, prompt in enumerate(asked):
            values = means[:, : len(prompt.ids)]
            if kind == "resample":
                donor = next(one for one in others[number:] + others if len(one.ids) >= len(prompt.ids))
                values = activations(model.forward([list(donor.ids)]))[:, : len(prompt.ids)]
            for key, rows in of_prompt(model, prompt, baseline, Reference(kind, values)):
                found[key].append(rows)
        table = summarise(title, kind, found)
        write_table(out / "faithful.csv", table)
        print_table(kind, table, found)
        draw(out / f"faithful-{title.replace(' ', '-')}-{kind}.png", title, kind, table)


def metric_rows(rows: list[list[Row]], metric: str) -> np.ndarray:
    return np.array([[row[metric] for row in one] for one in rows])


def summarise(title: str, kind: str, found: dict[tuple[str, ...], list[list[Row]]]) -> list[dict[str, object]]:
    table: list[dict[str, object]] = []
    for (name, way), rows in found.items():
        if way == "minimality":
            continue
        sizes = EDGE_SIZES if way == "edges" else SIZES
        for metric in (*METRICS, "kl", "same token"):
            values = metric_rows(rows, metric)
            for place, size in enumerate(sizes):
                at = (lambda some, place=place: float(curve(some)[place])) if metric in METRICS else (
                    lambda some, place=place: float(some[:, place + 2].mean()))  # fmt: skip
                value, low, high = interval(values, at)
                about = {"model": title, "reference": kind, "method": name, "way": way, "metric": metric, "size": size}
                table.append(about | {"value": value, "low": low, "high": high})
    return table


def print_table(kind: str, table: list[dict[str, object]], found: dict[tuple[str, ...], list[list[Row]]]) -> None:
    def at(name: str, way: str, metric: str, size: float) -> str:
        [row] = [r for r in table if (r["method"], r["way"], r["metric"], r["size"]) == (name, way, metric, size)]
        return f"{row['value']:.2f} ({row['low']:.2f} {row['high']:.2f})"

    print(f"\nreference: {kind}; f at 1 % of the cells, intervals over prompts in brackets")
    heads = (
        "CPR sum",
        "CMD sum",
        "CPR centred",
        "CMD centred",
        "f sum",
        "f centred",
        "f logit-diff",
        "KL",
        "same",
        "taken away",
    )
    print(f"{'':38}" + "".join(f"{head:>19}" for head in heads))
    for name in dict.fromkeys(name for name, _ in found):
        cells = []
        for metric in ("sum", "centred"):
            for way, of in (("signed", lambda f: f), ("absolute", lambda f: np.abs(1 - f))):
                rows = metric_rows(found[name, way], metric)
                value, low, high = interval(rows, lambda some, of=of: area(of(curve(some))))
                cells.append(f"{value:.3f} ({low:.2f} {high:.2f})")
        cells += [at(name, "absolute", metric, 0.01) for metric in (*METRICS, "kl", "same token")]
        cells.append(at(name, "taken away", "sum", 0.01))
        print(f"{name:38}" + "".join(f"{cell:>19}" for cell in cells), flush=True)
    if kind != "mean":
        return
    print("\nminimality: share of cells in the circuit of 1 % with little effect, and whose removal raises the metric")
    for (name, way), rows in found.items():
        if way == "minimality":
            tried, little, raising = (sum(row[0][key] for row in rows) for key in ("tried", "little", "raising"))
            print(f"{name:38} {little / tried:6.0%} {raising / tried:6.0%}")
    print(f"\nedges between the {EDGE_NODES} strongest neurons and to outputs: f (sum) by share of the edges")
    print(f"{'':38}" + "".join(f"{size:>19.0%}" for size in EDGE_SIZES))
    for name, way in found:
        if way == "edges":
            print(f"{name:38}" + "".join(f"{at(name, way, 'sum', size):>19}" for size in EDGE_SIZES))


def write_table(path: Path, table: list[dict[str, object]]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        if is_new:
            writer.writeheader()
        writer.writerows(table)


def draw(path: Path, title: str, kind: str, table: list[dict[str, object]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(17, 4.5), layout="constrained")
    for axis, (way, metric, what) in zip(
        axes,
        (
            ("signed", "sum", "f, signed (CPR)"),
            ("absolute", "sum", "f, absolute (CMD)"),
            ("absolute", "kl", "KL in nats"),
        ),
        strict=True,
    ):
        for name in dict.fromkeys(str(row["method"]) for row in table):
            rows = [r for r in table if (r["method"], r["way"], r["metric"]) == (name, way, metric)]
            sizes = [r["size"] for r in rows]
            axis.plot(sizes, [r["value"] for r in rows], label=name, linewidth=1.5)
            axis.fill_between(sizes, [r["low"] for r in rows], [r["high"] for r in rows], alpha=0.12)
        axis.set(xscale="log", xlabel="share of the neurons kept", ylabel=what)
        if metric != "kl":
            axis.axhline(1, color="grey", linewidth=0.7)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    figure.suptitle(f"{title}: neurons kept, all others write {'their mean' if kind == 'mean' else 'another prompt'}")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--model", help="folder or hub name; the demo model and stories260K where left out")
    parser.add_argument("--corpus", type=Path, help="prompts of --model: .jsonl, .txt or .parquet")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path("faithful"))
    options = parser.parse_args()
    if (options.model is None) != (options.corpus is None):
        parser.error("--model and --corpus go together")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "faithful.csv").unlink(missing_ok=True)
    with torch.no_grad(), tempfile.TemporaryDirectory() as work:
        if options.model:
            model = load_model(options.model, device=options.device)
            report(
                model.name,
                model,
                models.prompts_of(options.corpus, model, PromptOptions()),
                options.prompts,
                options.output,
            )
            return
        report("demo model", *models.demo(), options.prompts, options.output)
        if models.has_stories():
            report("stories260K", *models.stories(Path(work)), options.prompts, options.output)


if __name__ == "__main__":
    main()
