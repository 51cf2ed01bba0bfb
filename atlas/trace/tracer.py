"""Tracer of prompts to attribution graphs: the neurons that matter for a prediction, and their direct effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.graph import Graph, GraphInfo, Links, NodeKind, Nodes, Reject, Space, Tracing
from atlas.ids import INDEX_BITS
from atlas.models.cache import Baseline, Blend, Cache, activation
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt
from atlas.options import FLOW, GRADIENT, MEAN, MEANS, OF_METRIC, RELP, SUM, ZERO, TraceOptions
from atlas.trace.ablations import Ablator
from atlas.trace.baseline import zero_baseline
from atlas.trace.effects import Effects, NodeIndex, Sources, direct_effects
from atlas.trace.linearized import at_last_token, neuron_gradients
from atlas.trace.metrics import Outputs, choose_outputs
from atlas.trace.rules import RULES, Rules
from atlas.trace.samples import ablate_sample

DIALECT = "traced"


@dataclass(frozen=True)
class Traced:
    """Traced graph, with the metric, token ids and options that its file also states."""

    graph: Graph
    metric: float
    ids: tuple[int, ...]
    options: TraceOptions


@dataclass(frozen=True)
class _Scored:
    """Scores of the neurons of one prompt, (layers, n, m)."""

    rule: Tensor
    gradient: Tensor


class Tracer:
    """Tracer of batches of prompts.

    `memory` (bytes) bounds the gradients that are held at once. The weights and the activations of a batch need
    additional memory. `baseline` holds the values that sources are compared with, for `TraceOptions.baseline` = `mean`.
    """

    def __init__(
        self,
        model: TracedModel,
        options: TraceOptions | None = None,
        *,
        baseline: Baseline | None = None,
        memory: int = 1 << 28,
    ) -> None:
        self.model = model
        self.options = options = options or TraceOptions()
        if options.compared_with == MEAN and baseline is None:
            raise ValueError("the baseline `mean` needs the means: Tracer(..., baseline=mean_baseline(model, prompts))")
        self.baseline = baseline if options.compared_with == MEAN and baseline is not None else zero_baseline(model)
        self.space = Space(
            model.name, None, "neuron", options.link_weight, options.rules, options.compared_with, options.metric
        )
        self.ablations_per_graph = 0.0  # expected number of each kind
        self._rules = RULES[options.rules]
        self._memory = memory

    @property
    def made_with(self) -> dict[str, Any]:
        """Facts that decide the graph of a prompt: the fingerprint of the model, and the options."""
        apart = ("link_weight", "rules", "baseline", "metric", "ablations")  # the feature space states the others
        options = {key: value for key, value in asdict(self.options).items() if key not in apart}
        if not self._rules.on_path:
            del options["steps"]
        options["tau"] = self.options.threshold
        if self.options.compared_with == MEAN:
            options[MEANS] = self.baseline.fingerprint
        return {"traced_model": self.model.fingerprint, "traced_mlps": self.model.mlp_signature, **options}

    def hash_of(self, prompt: Prompt) -> str:
        """Return the hash that identifies a traced graph, of the model, the tokens, the targets and the options.

        Args:
            prompt: Prompt to trace.

        Returns:
            SHA-256 in hexadecimal.
        """
        options = self.options
        # Keys are spelled as in the first version, so that hashes of existing graphs stay valid.
        spelled: dict[str, Any] = {"tau": options.threshold, "top": options.top_logits}
        spelled |= {"max_nodes": options.max_nodes, "link_weight": options.link_weight}
        later = {"tau_of": OF_METRIC, "rules": RELP, "compared_with": ZERO, "metric": SUM}
        spelled |= {name: getattr(options, name) for name, first in later.items() if getattr(options, name) != first}
        if self._rules.on_path:
            spelled["steps"] = options.steps
        if options.compared_with == MEAN:
            spelled["means"] = self.baseline.fingerprint
        facts = [self.model.fingerprint, prompt.ids, prompt.targets, prompt.contrasts, spelled]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def trace(self, prompts: Sequence[Prompt]) -> list[Traced | Reject]:
        """Trace prompts as one batch. Padding does not change the graphs.

        Args:
            prompts: Prompts, none of them empty or longer than the model's positions.

        Returns:
            One graph per prompt, in order, or a reject where the model computes NaN or infinity.
        """
        if not prompts:
            return []
        with torch.no_grad():
            ids = [list(prompt.ids) for prompt in prompts]
            cache = self.model.forward(ids)
            outputs = [
                choose_outputs(self.options.metric, row, prompt.targets, prompt.contrasts, self.options.top_logits)
                for row, prompt in zip(cache.logits, prompts, strict=True)
            ]
            plain = self._scores(cache, cache, outputs, RULES[GRADIENT])
            rule = plain if self._rules == RULES[GRADIENT] else self.scores(ids, cache, outputs)
            found = []
            for row, prompt in enumerate(prompts):
                n = len(prompt.ids)
                scored = _Scored(rule[:, row, :n], plain[:, row, :n])
                found.append(self._graph(prompt, cache.of(row), scored, outputs[row]))
            return found

    def _states(self, ids: list[list[int]], cache: Cache) -> Iterator[Cache]:
        """Yield the states of the model at which derivatives are taken: the run itself, or points of the path to it."""
        if not self._rules.on_path:
            yield cache
            return
        for step in range(self.options.steps):
            share = (step + 0.5) / self.options.steps
            yield self.model.forward(ids, Blend(cache, self.baseline, share))

    def scores(self, ids: list[list[int]], cache: Cache, outputs: list[Outputs]) -> Tensor:
        """Compute the scores of all neurons by the rules: (activation - baseline) x gradient of the metric.

        Args:
            ids: Token ids of each prompt.
            cache: Values of the forward pass on them.
            outputs: Outputs of each prompt.

        Returns:
            Scores (layers, prompts, positions, neurons).
        """
        total, count = torch.zeros((), device=cache.embedding.device), 0
        # Added up one by one: the scores of all points of a path together would take that many times the memory.
        for state in self._states(ids, cache):
            total, count = total + self._scores(state, cache, outputs, self._rules), count + 1
        return total / count

    def _scores(self, state: Cache, run: Cache, outputs: list[Outputs], rules: Rules) -> Tensor:
        """Return (activation - baseline) x gradient of the metric, (layers, B, n, m), with the gradient at `state`."""
        rows = [
            mine.shares @ mine.gradients(self.model, logits) for mine, logits in zip(outputs, state.logits, strict=True)
        ]
        prompt = torch.arange(len(rows), device=state.logits.device)
        metric = at_last_token(self.model, state, torch.stack(rows), prompt, rules)
        found: list[Tensor] = [metric] * len(run.layers)
        for number, gradient in neuron_gradients(self.model, state, metric, rules):
            active = activation(run.layers[number])
            found[number] = (active - self.baseline.of_neurons(number, active.shape[1])) * gradient
        return torch.stack(found)

    def _graph(self, prompt: Prompt, cache: Cache, scored: _Scored, outputs: Outputs) -> Traced | Reject:
        options, score = self.options, scored.rule
        metric, score_sum = float(outputs.metric(cache.logits[0])), float(score.abs().sum())
        # Infinity and NaN survive a sum, and a layer of NaN writes NaN to the logits.
        if not (np.isfinite([metric, score_sum]).all() and bool(torch.isfinite(cache.logits).all())):
            return Reject(prompt.path, "not_finite", "the model computes NaN or infinity on this prompt")
        scale = abs(metric) if options.tau_of == OF_METRIC else score_sum
        cells, exceeded = _strongest(score, options.threshold * scale, options.max_nodes)
        effects = self._effects(prompt, cache, cells, outputs)
        nodes, tracing = self._nodes(prompt, cache, cells, scored, outputs, score_sum)
        weights = torch.cat([effects.neurons, effects.tokens, effects.error[:, None]], 1).double().cpu().numpy()
        if self.ablations_per_graph:
            each = (len(prompt.ids) * self.model.neurons + self.model.vocabulary) * cache.logits.element_size()
            rows = int(max(1, min(256, self._memory // (8 * each))))
            ablator = Ablator(self.model, prompt.ids, cache, self.baseline, outputs, rows)
            tracing = ablate_sample(ablator, tracing, cells, weights, self.ablations_per_graph, self.hash_of(prompt))
        if options.link_weight == FLOW:
            flow = torch.cat([cells.of(score) / self._values(cache, cells), outputs.shares])
            weights = weights * flow.double().cpu().numpy()[:, None]
        links = _links(weights, len(cells), len(prompt.ids))
        graph = Graph(self._info(prompt, exceeded), nodes, links, len(links.weight), tracing=tracing)
        return Traced(graph, metric, prompt.ids, options)

    def _values(self, cache: Cache, cells: NodeIndex) -> Tensor:
        """Return activations less baseline, (S,)."""
        return cells.of(cache.activations) - self.baseline.at(cells.layer, cells.position, cells.neuron)

    def _effects(self, prompt: Prompt, cache: Cache, cells: NodeIndex, outputs: Outputs) -> Effects:
        """Return the direct effects on all kept neurons and outputs, with what they leave unexplained."""
        n, widest = len(prompt.ids), max(self.model.width, self.model.head_width)
        # Values per target: gradient, gradient before the attention, and heads, which may be wider than the model.
        each = n * widest * 6 + (3 * self.model.heads * n * n if self._rules.live_patterns else 0)
        batch = max(1, self._memory // (each * cache.logits.element_size()))
        tokens = cache.embedding[0] - self.baseline.of_tokens(n)
        sources = Sources(cells, self._values(cache, cells), tokens)
        found: Effects | None = None
        share = 1 / self.options.steps if self._rules.on_path else 1.0
        for state in self._states([list(prompt.ids)], cache):
            rows = outputs.gradients(self.model, state.logits[0])
            effects = direct_effects(self.model, state, sources, rows, self._rules, batch=batch)
            found = effects.times(share) if found is None else found.plus(effects.times(share))
        assert found is not None
        if self._rules.is_linear:
            found.error[len(cells) :] += outputs.constants(cache.logits[0])
            return found
        # Without a linear function, what is not explained is the rest.
        whole = torch.cat([cells.of(cache.activations), outputs.values(cache.logits[0])])
        return Effects(found.neurons, found.tokens, whole - found.neurons.sum(1) - found.tokens.sum(1))

    def _info(self, prompt: Prompt, exceeded: bool) -> GraphInfo:
        return GraphInfo(
            path=prompt.path,
            content_hash=self.hash_of(prompt),
            size_bytes=len(prompt.text.encode()),
            dialect=DIALECT,
            space=self.space,
            slug=prompt.path.rsplit("/", 1)[-1].removesuffix(".json"),
            prompt=prompt.text,
            prompt_tokens=self.model.token_texts(list(prompt.ids)),
            corpus_source=prompt.source,
            prompt_group=prompt.group,
            corpus_index=prompt.index,
            original_token_count=prompt.original_token_count,
            nodes_exceeded=exceeded,
        )

    def _nodes(
        self, prompt: Prompt, cache: Cache, cells: NodeIndex, scored: _Scored, outputs: Outputs, score_sum: float
    ) -> tuple[Nodes, Tracing]:
        """Return the nodes: neurons, then tokens, then outputs, then one error node; and what is known beside them."""
        n, tokens = len(prompt.ids), outputs.tokens.tolist()
        kinds = (
            [NodeKind.NEURON] * len(cells) + [NodeKind.TOKEN] * n + [NodeKind.LOGIT] * len(tokens) + [NodeKind.ERROR]
        )
        keys = [*(cells.layer << INDEX_BITS | cells.neuron).tolist(), *prompt.ids, *tokens, 0]
        positions = [*cells.position.tolist(), *range(n), *([n - 1] * (len(tokens) + 1))]
        unknown = np.full(n + len(tokens) + 1, np.nan)
        probability = torch.softmax(cache.logits[0].double(), 0)[outputs.tokens].cpu().numpy()

        def of_neurons(values: Tensor) -> np.ndarray:
            return np.concatenate([cells.of(values).double().cpu().numpy(), unknown])

        activations = of_neurons(cache.activations)
        activations[len(cells) : len(cells) + n] = 1.0
        nodes = Nodes(
            kind=np.array(kinds, np.int8),
            key=np.array(keys, np.int64),
            position=np.array(positions, np.int32),
            activation=activations,
            influence=of_neurons(scored.rule),
            probability=np.concatenate([np.full(len(cells) + n, np.nan), probability, [np.nan]]),
            text=[*([None] * len(cells)), *self.model.token_texts([*prompt.ids, *tokens]), None],
        )
        gate, up = (torch.stack([getattr(layer, name)[0] for layer in cache.layers]) for name in ("gate", "up"))
        return nodes, Tracing(of_neurons(scored.gradient), of_neurons(gate), of_neurons(up), score_sum)


def _strongest(score: Tensor, least: float, most: int) -> tuple[NodeIndex, bool]:
    """Return the nodes of at least this |score|, or the strongest `most` of them, and True where there are more.

    Nodes are ordered by (layer, position, neuron).
    """
    flat = score.abs().flatten()
    passing = torch.nonzero(flat >= max(least, torch.finfo(flat.dtype).tiny)).flatten()
    exceeded = len(passing) > most
    if exceeded:
        # Stable, so that every device breaks ties in the same way.
        passing = passing[torch.argsort(flat[passing], descending=True, stable=True)[:most]].sort().values
    layer, position, neuron = torch.unravel_index(passing, score.shape)
    return NodeIndex(layer, position, neuron), exceeded


def _links(weights: np.ndarray, kept: int, tokens: int) -> Links:
    """Return the nonzero entries of a matrix (targets, sources) as links.

    Targets are neurons and outputs; sources are neurons, tokens and the error.
    """
    target, source = np.nonzero(weights)
    # The order of nodes is neurons, tokens, outputs, error.
    target_row = np.where(target < kept, target, target + tokens)
    source_row = np.where(source < kept + tokens, source, kept + tokens + weights.shape[0] - kept)
    return Links(source_row.astype(np.int64), target_row.astype(np.int64), weights[target, source])
