"""Metric of a prompt: the outputs that are traced, and how they are added up.

With z the logits at the last token, an output of token t is

| metric | output | metric of a prompt |
|---|---|---|
| `sum` | z_t | sum over targets - sum over contrasts |
| `logit-diff` | z_t | mean over targets - mean over contrasts |
| `centred` | z_t - mean of z | sum over targets - sum over contrasts |
| `logprob` | log softmax(z)_t | sum over targets - sum over contrasts |

A constant added to all logits changes nothing that a model says. `sum` without contrasts changes with it, the others do
not. Where a prompt names no target, the targets are the highest logits; for `logit-diff`, the highest logit
against the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.models.cache import wide
from atlas.models.model import TracedModel
from atlas.options import CENTRED, LOGIT_DIFF, LOGPROB


@dataclass(frozen=True)
class Outputs:
    """Traced outputs of one prompt, and their signed shares in its metric."""

    kind: str
    tokens: Tensor  # (k,)
    shares: Tensor  # (k,)

    def values(self, logits: Tensor) -> Tensor:
        """Return the outputs, (..., k), from the logits (..., vocabulary)."""
        if self.kind == LOGPROB:
            return torch.log_softmax(logits, -1)[..., self.tokens]
        found = logits[..., self.tokens]
        return found - logits.mean(-1, keepdim=True) if self.kind == CENTRED else found

    def metric(self, logits: Tensor) -> Tensor:
        """Return the metric (...) from the logits (..., vocabulary)."""
        return self.values(logits) @ self.shares

    def gradients(self, model: TracedModel, logits: Tensor) -> Tensor:
        """Return the gradients of the outputs after the last norm, (k, d), from the logits (vocabulary,)."""
        rows = wide(model.unembedding[self.tokens]).to(logits.dtype)
        if self.kind == LOGPROB:
            return rows - torch.softmax(logits, -1) @ model.unembedding.to(logits.dtype)
        return rows - wide(model.unembedding).to(logits.dtype).mean(0) if self.kind == CENTRED else rows

    def constants(self, logits: Tensor) -> Tensor:
        """Return what the outputs have beside a linear function of the logits, (k,): minus the entropy of a log share."""
        found = torch.zeros_like(self.shares)
        if self.kind == LOGPROB:
            log_share = torch.log_softmax(logits, -1)
            found += (log_share.exp() * log_share).sum()
        return found


def choose_outputs(
    kind: str, logits: Tensor, targets: Sequence[int], contrasts: Sequence[int], top_logits: int
) -> Outputs:
    """Choose the outputs of a prompt.

    Args:
        kind: `sum`, `logit-diff`, `centred` or `logprob`.
        logits: Logits at the last token (vocabulary,).
        targets: Tokens that the prompt names.
        contrasts: Tokens against which the prompt compares them.
        top_logits: Number of targets where the prompt names no token.

    Returns:
        The outputs.
    """
    if kind == LOGIT_DIFF:
        given = torch.zeros_like(logits, dtype=torch.bool)
        given[[*targets, *contrasts]] = True
        free = torch.topk(logits.masked_fill(given, -torch.inf), 2).indices.tolist()
        targets = targets or free[:1]
        contrasts = contrasts or [token for token in free if token not in targets][:1]
    elif not targets and not contrasts:
        targets = torch.topk(logits, min(top_logits, len(logits))).indices.tolist()
    even = kind == LOGIT_DIFF
    shares = [1 / len(targets) if even else 1.0] * len(targets)
    shares += [-1 / len(contrasts) if even else -1.0] * len(contrasts)
    tokens = torch.tensor([*targets, *contrasts], device=logits.device)
    return Outputs(kind, tokens, torch.tensor(shares, device=logits.device, dtype=logits.dtype))
