"""Values of a forward pass that the linearised model needs, and values that stand for absent neurons."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from atlas.models.recorder import Seen


@dataclass(frozen=True)
class NormCache:
    """Input of a norm, and the factor by which the norm scales it."""

    value: Tensor  # (B, n, d)
    scale: Tensor  # (B, n, 1) inverse root mean square

    def of(self, prompt: int, length: int) -> NormCache:
        """Return the cache of one prompt without padding, as a batch of one."""
        one = slice(prompt, prompt + 1)
        return NormCache(self.value[one, :length], self.scale[one, :length])


@dataclass(frozen=True)
class AttentionCache:
    """Values of an attention on a batch: H heads of width w, of which G have keys and values of their own."""

    pattern: Tensor  # (B, H, n, n), rows are queries
    query: Tensor  # (B, n, H x w) before the rotation
    key: Tensor  # (B, n, G x w) before the rotation
    value: Tensor  # (B, n, G x w)
    query_norm: NormCache | None  # of Qwen 3 (per head) and OLMo 2 and 3 (over all heads)
    key_norm: NormCache | None
    cos: Tensor  # (1, n, w) of the rotation
    sin: Tensor  # (1, n, w)

    def of(self, prompt: int, length: int) -> AttentionCache:
        """Return the cache of one prompt without padding, as a batch of one."""
        one = slice(prompt, prompt + 1)
        return AttentionCache(
            pattern=self.pattern[one, :, :length, :length],
            query=self.query[one, :length],
            key=self.key[one, :length],
            value=self.value[one, :length],
            query_norm=self.query_norm and self.query_norm.of(prompt, length),
            key_norm=self.key_norm and self.key_norm.of(prompt, length),
            cos=self.cos[:, :length],
            sin=self.sin[:, :length],
        )


@dataclass(frozen=True)
class LayerCache:
    """Values of one layer on a batch: B prompts of n positions, m neurons, model width d."""

    attention: AttentionCache
    attention_norm: NormCache
    mlp_norm: NormCache
    gate: Tensor  # (B, n, m) before SiLU
    up: Tensor  # (B, n, m)
    mlp_out: Tensor  # (B, n, d) contribution of the MLP to the residual stream

    def of(self, prompt: int, length: int) -> LayerCache:
        """Return the cache of one prompt without padding, as a batch of one."""
        one = slice(prompt, prompt + 1)
        return LayerCache(
            attention=self.attention.of(prompt, length),
            attention_norm=self.attention_norm.of(prompt, length),
            mlp_norm=self.mlp_norm.of(prompt, length),
            gate=self.gate[one, :length],
            up=self.up[one, :length],
            mlp_out=self.mlp_out[one, :length],
        )


@dataclass(frozen=True)
class Baseline:
    """Values that stand for "not there": of every neuron and of an embedding, at the first position and elsewhere.

    The first position has values of its own, because many models put the same token and very large activations there.
    """

    neurons: Tensor  # (layers, 2, m)
    tokens: Tensor  # (2, d)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all values."""
        digest = hashlib.sha256()
        for value in (self.neurons, self.tokens):
            digest.update(value.double().cpu().numpy().tobytes())
        return digest.hexdigest()

    def of_neurons(self, layer: int, length: int) -> Tensor:
        """Return the values of the neurons of a layer at every position, (n, m)."""
        return torch.cat([self.neurons[layer, :1], self.neurons[layer, 1:].expand(length - 1, -1)])

    def of_tokens(self, length: int) -> Tensor:
        """Return the embedding at every position, (n, d)."""
        return torch.cat([self.tokens[:1], self.tokens[1:].expand(length - 1, -1)])

    def at(self, layer: Tensor, position: Tensor, neuron: Tensor) -> Tensor:
        """Return the values of neurons at positions, (k,)."""
        return self.neurons[layer, (position > 0).long(), neuron]


@dataclass(frozen=True)
class Blend:
    """State between a baseline and a run: every neuron and embedding at baseline + share x (value - baseline)."""

    run: Cache
    baseline: Baseline
    share: float

    def neurons(self, layer: int) -> Tensor:
        """Return the values of the neurons of a layer, (B, n, m)."""
        value = activation(self.run.layers[layer])
        start = self.baseline.of_neurons(layer, value.shape[1])
        return start + self.share * (value - start)

    def tokens(self) -> Tensor:
        """Return the embeddings, (B, n, d)."""
        start = self.baseline.of_tokens(self.run.embedding.shape[1])
        return start + self.share * (self.run.embedding - start)


@dataclass(frozen=True)
class Cache:
    """Values of a forward pass."""

    embedding: Tensor  # (B, n, d)
    layers: list[LayerCache]
    final: NormCache  # residual stream before the last norm
    logits: Tensor  # (B, vocabulary) at the last token of each prompt
    lengths: tuple[int, ...]

    @cached_property
    def activations(self) -> Tensor:
        """Activations of all neurons of the first prompt, (layers, n, m)."""
        return torch.stack([activation(layer)[0] for layer in self.layers])

    def of(self, prompt: int) -> Cache:
        """Return the cache of one prompt without padding, as a batch of one."""
        length, one = self.lengths[prompt], slice(prompt, prompt + 1)
        return Cache(
            self.embedding[one, :length],
            [layer.of(prompt, length) for layer in self.layers],
            self.final.of(prompt, length),
            self.logits[one],
            (length,),
        )


def wide(value: Tensor) -> Tensor:
    """Return a tensor in float32, or float64 if it is float64: sums over thousands of products need it."""
    return value if value.dtype == torch.float64 else value.float()


def inverse_rms(value: Tensor, norm: Any) -> Tensor:
    """Return 1 / sqrt(mean of squares + epsilon) over the last axis, which is kept."""
    return torch.rsqrt(wide(value).square().mean(-1, keepdim=True) + norm.variance_epsilon)


def activation(layer: LayerCache) -> Tensor:
    """Return the activations of neurons: silu(gate) * up, (B, n, m)."""
    return torch.nn.functional.silu(layer.gate) * layer.up


def norm_cache(value: Tensor, norm: Any) -> NormCache:
    """Return the cache of a norm from its input."""
    return NormCache(wide(value), inverse_rms(value, norm))


def attention_cache(attention: Any, layer: int, seen: Seen) -> AttentionCache:
    """Return the cache of an attention from the recorded values of its layer."""

    def norm_of(name: str) -> NormCache | None:
        value = seen.get((layer, f"{name}_norm"))
        return None if value is None else norm_cache(value, getattr(attention, f"{name}_norm"))

    cos, sin = seen[layer, "rotation"]
    return AttentionCache(
        pattern=wide(seen[layer, "pattern"]),
        query=wide(seen[layer, "q"]).flatten(2),
        key=wide(seen[layer, "k"]).flatten(2),
        value=wide(seen[layer, "v"]),
        query_norm=norm_of("q"),
        key_norm=norm_of("k"),
        cos=wide(cos),
        sin=wide(sin),
    )
