"""Sparse autoencoder while it is trained: its codes, its loss, and the features that have fallen silent.

    code           relu: relu(a);  topk: the k largest of relu(a);  batchtopk: the k n largest of n tokens
                   with a = (x - b_dec) W_enc + b_enc
    loss           |x - x'|^2 / d  +  l1 sum(code) / sqrt(d) (relu),  or + |e - e'|^2 / 32 d (topk and batchtopk), where
                   e = x - x', and e' is its reconstruction by the best features of those that have long been silent

The auxiliary loss is that of Gao et al. (2024), "Scaling and evaluating sparse autoencoders". A batchtopk autoencoder is used
with a threshold, the mean of the smallest code of each batch, as in Bussmann et al. (2024), "BatchTopK sparse autoencoders".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from atlas.options import BATCH_TOPK, RELU, TrainOptions

SILENT_STEPS = 100  # without a code, from which the auxiliary loss revives a feature
AUXILIARY = 1 / 32


class Autoencoder(torch.nn.Module):
    """Sparse autoencoder with F features of vectors of width d, while it is trained."""

    def __init__(self, width: int, options: TrainOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        features = width * options.expansion
        decoder = torch.randn(features, width, generator=generator)
        decoder /= decoder.norm(dim=1, keepdim=True)
        self.W_dec = torch.nn.Parameter(decoder)
        self.W_enc = torch.nn.Parameter(decoder.T.contiguous().clone())
        self.b_enc = torch.nn.Parameter(torch.zeros(features))
        self.b_dec = torch.nn.Parameter(torch.zeros(width))
        self.register_buffer("silent", torch.zeros(features, dtype=torch.int64))  # steps since the last code
        self.register_buffer("fired", torch.zeros(features, dtype=torch.int64))  # codes in this epoch
        self.register_buffer("smallest", torch.tensor(-1.0))  # running mean of the smallest code of a batch
        self.silent: Tensor
        self.fired: Tensor
        self.smallest: Tensor

    def codes(self, before: Tensor) -> Tensor:
        """Return the codes (n, F) of products before the activation (n, F)."""
        found, k = before.relu(), min(self.options.k, before.shape[1])
        if self.options.kind == RELU:
            return found
        if self.options.kind == BATCH_TOPK:
            flat = found.flatten()
            best = torch.topk(flat, k * len(found), sorted=False)
            return torch.zeros_like(flat).scatter(0, best.indices, best.values).view_as(found)
        best = torch.topk(found, k, dim=1, sorted=False)
        return torch.zeros_like(found).scatter(1, best.indices, best.values)

    def loss(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, the codes (n, F), and the sum of squared errors."""
        width = vectors.shape[1]
        before = (vectors - self.b_dec) @ self.W_enc + self.b_enc
        codes = self.codes(before)
        error = vectors - codes @ self.W_dec - self.b_dec
        squared = error.square().sum()
        loss = squared / vectors.numel()
        if self.options.kind == RELU:
            loss = loss + self.options.l1 * codes.sum() / len(vectors) / math.sqrt(width)
        else:
            loss = loss + AUXILIARY * self._revival(before, error.detach())
        return loss, codes.detach(), squared.detach()

    def _revival(self, before: Tensor, error: Tensor) -> Tensor:
        """Return the error that remains when silent features reconstruct the error of the others."""
        silent = torch.nonzero(self.silent >= SILENT_STEPS).flatten()
        if not len(silent):
            return before.new_zeros(())
        chosen = before[:, silent].relu()
        best = torch.topk(chosen, min(len(silent), before.shape[1] // 2, 4 * self.options.k), dim=1, sorted=False)
        codes = torch.zeros_like(chosen).scatter(1, best.indices, best.values)
        return (error - codes @ self.W_dec[silent]).square().sum() / error.numel()

    def note(self, codes: Tensor) -> None:
        """Record which features have a code, and the smallest code of the batch."""
        active = (codes > 0).sum(0)
        self.fired += active
        self.silent = torch.where(active > 0, 0, self.silent + 1)
        if self.options.kind == BATCH_TOPK and bool(active.any()):
            smallest = codes[codes > 0].min()
            self.smallest = smallest if self.smallest < 0 else 0.99 * self.smallest + 0.01 * smallest

    def keep_norms(self) -> None:
        """Scale the rows of the decoder to norm 1."""
        with torch.no_grad():
            self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12))

    def folded(self, scale: float) -> dict[str, Tensor]:
        """Return the weights for vectors that are not scaled; codes become smaller by `scale`."""
        named = {"W_enc": self.W_enc, "W_dec": self.W_dec, "b_enc": self.b_enc / scale, "b_dec": self.b_dec / scale}
        if self.options.kind == BATCH_TOPK:
            named["threshold"] = (self.smallest.clamp(min=0) / scale).expand(self.b_enc.shape[0])
        return {name: value.detach().float().cpu().contiguous() for name, value in named.items()}
