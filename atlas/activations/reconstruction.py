"""Reconstruction by a dictionary: sparsity, unexplained variance, and the loss of the model that goes on from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from atlas.activations.dictionaries import Dictionary
from atlas.models.load import enough_memory
from atlas.models.model import TracedModel
from atlas.stages.store.cells import Context, looked_at_cells

EVALUATED_TOKENS = 50_000  # of a text on which a dictionary is measured


def first_batches(
    contexts: Iterator[Context], size: int, progress: Callable[[str, int, int], None]
) -> Iterator[list[Context]]:
    """Yield contexts, `size` at a time, until they hold `EVALUATED_TOKENS` tokens.

    Args:
        contexts: Windows of tokens.
        size: Number of contexts that run at once.
        progress: Called with the name of the step, the number of tokens and the total.

    Yields:
        The next contexts.
    """
    seen = 0
    while seen < EVALUATED_TOKENS and (group := list(itertools.islice(contexts, size))):
        yield group
        seen += sum(len(context.token_ids) for context in group)
        progress("reconstructing", min(seen, EVALUATED_TOKENS), EVALUATED_TOKENS)


@dataclass
class Reconstruction:
    """Sums over the tokens that were looked at, and the measures that follow from them.

    FVU is sum |x - x'|^2 / sum |x - mean|^2 over the data set. Loss recovered is
    (loss of zeros - loss of reconstructions) / (loss of zeros - loss of the model): zeros or reconstructions replace the
    residual stream at the tokens that are looked at.
    """

    features: int
    width: int
    token_count: int = 0
    active_count: int = 0  # of all features
    error: float = 0.0  # sum of |x - x'|^2
    squares: float = 0.0  # sum of |x|^2
    total: Tensor = field(default_factory=lambda: torch.zeros(0))  # sum of x (d,)
    fired: Tensor = field(default_factory=lambda: torch.zeros(0))  # tokens on which each feature is active (F,)
    loss_count: int = 0
    loss: float = 0.0  # sums, in nats
    loss_reconstructed: float = 0.0
    loss_zero: float = 0.0

    def __post_init__(self) -> None:
        self.total = torch.zeros(self.width, dtype=torch.float64)
        self.fired = torch.zeros(self.features, dtype=torch.int64)

    def add(self, vectors: Tensor, codes: Tensor, decoded: Tensor) -> None:
        """Add tokens.

        Args:
            vectors: (n, d).
            codes: (n, F).
            decoded: Reconstructions (n, d).
        """
        vectors, decoded = vectors.double(), decoded.double()
        active = codes != 0
        self.token_count += len(vectors)
        self.active_count += int(active.sum())
        self.error += float((vectors - decoded).square().sum())
        self.squares += float(vectors.square().sum())
        self.total += vectors.sum(0).cpu()
        self.fired += active.sum(0).cpu()

    @property
    def l0(self) -> float | None:
        """Mean number of active features per token."""
        return self.active_count / self.token_count if self.token_count else None

    @property
    def mse(self) -> float | None:
        """Mean squared error per element."""
        return self.error / self.token_count / self.width if self.token_count else None

    @property
    def fvu(self) -> float | None:
        """Fraction of variance unexplained; None where the vectors do not vary."""
        if not self.token_count:
            return None
        variance = self.squares - float(self.total.square().sum()) / self.token_count
        return self.error / variance if variance > 0 else None

    @property
    def dead_count(self) -> int | None:
        """Features that are never active on these tokens; None where there are none."""
        return int((self.fired == 0).sum()) if self.token_count else None

    @property
    def loss_recovered(self) -> float | None:
        """Share of the loss that zeros cost and reconstructions do not; None where zeros cost nothing."""
        cost = self.loss_zero - self.loss
        return (self.loss_zero - self.loss_reconstructed) / cost if self.loss_count and cost > 0 else None

    def facts(self) -> dict[str, float | int | None]:
        """Return all measures.

        Returns:
            Values by name; losses are in nats per token.
        """

        def mean(total: float) -> float | None:
            return total / self.loss_count if self.loss_count else None

        return {
            "token_count": self.token_count,
            "feature_count": self.features,
            "l0": self.l0,
            "fvu": self.fvu,
            "mse": self.mse,
            "dead_count": self.dead_count,
            "loss": mean(self.loss),
            "loss_reconstructed": mean(self.loss_reconstructed),
            "loss_zero": mean(self.loss_zero),
            "loss_recovered": self.loss_recovered,
        }


def reconstruct(
    model: TracedModel,
    dictionary: Dictionary,
    layer: int,
    batches: Iterable[Sequence[Context]],
    *,
    skips_first: bool = True,
    skipped_tokens: Sequence[int] = (),
) -> Reconstruction:
    """Measure how well a dictionary reconstructs what it writes: the residual stream behind a block, or the output of its MLP.

    Args:
        model: Model with its tokenizer.
        dictionary: Sparse autoencoder, or transcoder of an MLP.
        layer: Number of the block.
        batches: Contexts, as many at a time as the model runs at once.
        skips_first: The first position of a context keeps its vector, and is in no count.
        skipped_tokens: Tokens that keep their vectors, and are in no count.

    Returns:
        Sums over all tokens that were looked at. Losses are over all next tokens of the contexts.
    """
    found = Reconstruction(dictionary.features, dictionary.width)
    for contexts in batches:
        ids = [list(context.token_ids) for context in contexts]
        cells = looked_at_cells(contexts, skips_first=skips_first, skipped_tokens=skipped_tokens)
        mask = torch.from_numpy(np.ascontiguousarray(cells)).to(model.device)
        with enough_memory(), torch.no_grad():
            _add_losses(found, model, dictionary, layer, ids, mask)
    return found


def _add_losses(
    found: Reconstruction, model: TracedModel, dictionary: Dictionary, layer: int, ids: list[list[int]], mask: Tensor
) -> None:
    def decoded(source: Tensor, target: Tensor) -> Tensor:
        codes = dictionary.encode(source[mask].float())
        back = dictionary.decode(codes, source[mask].float())
        found.add(target[mask].float(), codes, back)
        return _replaced(target, mask, back)

    def zeros(_: Tensor, target: Tensor) -> Tensor:
        return _replaced(target, mask, torch.zeros_like(target[mask]))

    clean = model.losses(ids)
    kept = ~torch.isnan(clean)
    found.loss_count += int(kept.sum())
    found.loss += float(clean[kept].double().sum())
    site = dictionary.site
    found.loss_reconstructed += float(model.losses(ids, layer, decoded, site)[kept].double().sum())
    found.loss_zero += float(model.losses(ids, layer, zeros, site)[kept].double().sum())


def _replaced(stream: Tensor, mask: Tensor, vectors: Tensor) -> Tensor:
    changed = stream.clone()
    changed[mask] = vectors.to(stream.dtype)
    return changed
