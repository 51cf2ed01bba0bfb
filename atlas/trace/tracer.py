"""Tracer of prompts to attribution graphs: the neurons that matter for a prediction, and their direct effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.graph import Graph, GraphInfo, Links, NodeKind, Nodes, Reject, Space
from atlas.ids import INDEX_BITS
from atlas.models.model import Cache, TracedModel, activation
from atlas.models.prompts import Prompt
from atlas.options import FLOW, TraceOptions
from atlas.trace.linearized import Effects, NodeIndex, direct_effects, logit_gradient, scores

DIALECT = "traced"


@dataclass(frozen=True)
class Traced:
    """Traced graph, with the metric, token ids and options that its file also states."""

    graph: Graph
    metric: float
    ids: tuple[int, ...]
    options: TraceOptions


@dataclass(frozen=True)
class _Targets:
    tokens: Tensor  # (k,)
    signs: Tensor  # (k,) +1 in the metric, -1 for contrasts


def prompt_hash(model: TracedModel, prompt: Prompt, options: TraceOptions) -> str:
    """Return the hash that identifies a traced graph, of the model, the tokens, the targets and the options."""
    # Keys are spelled as in the first version, so that hashes of existing graphs stay valid.
    spelled: dict[str, Any] = {"tau": options.tau, "top": options.top_logits}
    spelled |= {"max_nodes": options.max_nodes, "link_weight": options.link_weight}
    facts = [model.fingerprint, prompt.ids, prompt.targets, prompt.contrasts, spelled]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class Tracer:
    """Tracer of batches of prompts.

    `memory` (bytes) bounds the gradients that are held at once. The weights and the activations of a batch need
    additional memory.
    """

    def __init__(self, model: TracedModel, options: TraceOptions | None = None, *, memory: int = 1 << 28) -> None:
        self.model = model
        self.options = options or TraceOptions()
        self.space = Space(model.name, None, "neuron", self.options.link_weight)
        self._memory = memory

    @property
    def made_with(self) -> dict[str, Any]:
        """Facts that decide the graph of a prompt: the fingerprint of the model, and the options."""
        options = {key: value for key, value in asdict(self.options).items() if key != "link_weight"}
        return {"traced_model": self.model.fingerprint, **options}

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
            cache = self.model.forward([list(prompt.ids) for prompt in prompts])
            targets = [self._targets(cache, row, prompt) for row, prompt in enumerate(prompts)]
            found = scores(
                self.model, cache, torch.stack([self._metric(cache, row, t) for row, t in enumerate(targets)])
            )
            return [
                self._graph(prompt, cache.of(row), [layer[row, : len(prompt.ids)] for layer in found], targets[row])
                for row, prompt in enumerate(prompts)
            ]

    def _targets(self, cache: Cache, row: int, prompt: Prompt) -> _Targets:
        device = cache.logits.device
        if prompt.targets or prompt.contrasts:
            tokens = torch.tensor([*prompt.targets, *prompt.contrasts], device=device)
            signs = torch.tensor([1.0] * len(prompt.targets) + [-1.0] * len(prompt.contrasts), device=device)
            return _Targets(tokens, signs.to(cache.logits.dtype))
        top = torch.topk(cache.logits[row], min(self.options.top_logits, cache.logits.shape[1])).indices
        return _Targets(top, torch.ones_like(top, dtype=cache.logits.dtype))

    def _metric(self, cache: Cache, row: int, targets: _Targets) -> Tensor:
        """Return the gradient of the metric of one prompt with respect to its last residual stream, (d,)."""
        rows = logit_gradient(self.model, cache, targets.tokens, torch.full_like(targets.tokens, row))
        return targets.signs @ rows

    def _graph(self, prompt: Prompt, cache: Cache, score: list[Tensor], targets: _Targets) -> Traced | Reject:
        options = self.options
        metric = float(targets.signs @ cache.logits[0, targets.tokens])
        flat = torch.stack(score)
        if not (np.isfinite(metric) and bool(torch.isfinite(flat).all()) and bool(torch.isfinite(cache.logits).all())):
            return Reject(prompt.path, "not_finite", "the model computes NaN or infinity on this prompt")
        cells, exceeded = _strongest(flat, options.tau * abs(metric), options.max_nodes)
        # Bytes per target: gradient, gradient before the attention, and heads, which may be wider than the model.
        widest = max(self.model.width, self.model.head_width)
        each = cache.final.shape[1] * widest * cache.final.element_size() * 6
        effects = direct_effects(self.model, cache, cells, targets.tokens, batch=max(1, self._memory // each))
        graph = self._assemble(prompt, cache, cells, flat, effects, targets, exceeded)
        return Traced(graph, metric, prompt.ids, options)

    def _assemble(
        self,
        prompt: Prompt,
        cache: Cache,
        cells: NodeIndex,
        score: Tensor,
        effects: Effects,
        targets: _Targets,
        exceeded: bool,
    ) -> Graph:
        kept = score[cells.layer, cells.position, cells.neuron]
        active = torch.stack([activation(layer)[0] for layer in cache.layers])[
            cells.layer, cells.position, cells.neuron
        ]
        scale = torch.ones(len(cells) + len(targets.tokens), dtype=kept.dtype, device=kept.device)
        if self.options.link_weight == FLOW:
            scale = torch.cat([kept / active, targets.signs])
        weights = torch.cat([effects.neurons, effects.tokens, effects.error[:, None]], 1) * scale[:, None]
        nodes = self._nodes(prompt, cache, cells, active, kept, targets)
        links = _links(weights.double().cpu().numpy(), len(cells), len(prompt.ids))
        info = GraphInfo(
            path=prompt.path,
            content_hash=prompt_hash(self.model, prompt, self.options),
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
        return Graph(info, nodes, links, len(links.weight))

    def _nodes(
        self, prompt: Prompt, cache: Cache, cells: NodeIndex, active: Tensor, score: Tensor, targets: _Targets
    ) -> Nodes:
        """Return the nodes: neurons, then tokens, then logits, then one error node."""
        n, tokens = len(prompt.ids), targets.tokens.tolist()
        kinds = (
            [NodeKind.NEURON] * len(cells) + [NodeKind.TOKEN] * n + [NodeKind.LOGIT] * len(tokens) + [NodeKind.ERROR]
        )
        keys = [*(cells.layer << INDEX_BITS | cells.neuron).tolist(), *prompt.ids, *tokens, 0]
        positions = [*cells.position.tolist(), *range(n), *([n - 1] * (len(tokens) + 1))]
        unknown = np.full(n + len(tokens) + 1, np.nan)
        probability = torch.softmax(cache.logits[0].double(), 0)[targets.tokens].cpu().numpy()
        return Nodes(
            kind=np.array(kinds, np.int8),
            key=np.array(keys, np.int64),
            position=np.array(positions, np.int32),
            activation=np.concatenate([active.double().cpu().numpy(), np.ones(n), unknown[n:]]),
            influence=np.concatenate([score.double().cpu().numpy(), unknown]),
            probability=np.concatenate([np.full(len(cells) + n, np.nan), probability, [np.nan]]),
            text=[*([None] * len(cells)), *self.model.token_texts([*prompt.ids, *tokens]), None],
        )


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

    Targets are neurons and logits; sources are neurons, tokens and the error.
    """
    target, source = np.nonzero(weights)
    # The order of nodes is neurons, tokens, logits, error.
    target_row = np.where(target < kept, target, target + tokens)
    source_row = np.where(source < kept + tokens, source, kept + tokens + weights.shape[0] - kept)
    return Links(source_row.astype(np.int64), target_row.astype(np.int64), weights[target, source])
