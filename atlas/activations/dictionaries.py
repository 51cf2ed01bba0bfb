"""Sparse autoencoders and transcoders: features of a residual stream or an MLP, from the files of the tools that train them.

| file | layout |
|---|---|
| SAELens | folder with cfg.json and sae_weights.safetensors |
| dictionary_learning | folder with ae.pt and config.json, or ae.pt alone |
| sparsify | folder with cfg.json and sae.safetensors |
| state dict | .pt or .safetensors with W_enc, W_dec, b_enc, b_dec, or encoder.weight, decoder.weight |

A code is f(W_enc (x - b) + b_enc), where b is b_dec or 0, and f depends on the kind: ReLU, TopK, BatchTopK (a threshold
at use), JumpReLU, gated, or ReLU clamped from above.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atlas.errors import InputError, UsageError
from atlas.io.files import read_json_object
from atlas.io.tensors import read_tensors
from atlas.models.model import MLP_INPUT, MLP_OUTPUT, RESIDUAL_STREAM, TracedModel
from atlas.options import RELU, TOPK

JUMP_RELU, GATED = "jumprelu", "gated"
_PLACES = (
    re.compile(r"blocks\.(?P<layer>\d+)\.hook_resid_(?P<side>pre|post)"),  # SAELens
    re.compile(r"resid_(?P<side>pre|post)_layer_(?P<layer>\d+)"),  # dictionary_learning
    re.compile(r"(?:model\.)?layers\.(?P<layer>\d+)(?P<side>)"),  # sparsify
    re.compile(r"blocks\.(?P<layer>\d+)\.(?P<side>hook_mlp_in|hook_mlp_out|ln2\.hook_normalized)"),
    re.compile(r"(?P<side>mlp_out)_layer_(?P<layer>\d+)"),
    re.compile(r"(?:model\.)?layers\.(?P<layer>\d+)\.(?P<side>mlp)"),
)
_SITES = {
    "hook_mlp_in": MLP_INPUT,
    "ln2.hook_normalized": MLP_INPUT,
    "hook_mlp_out": MLP_OUTPUT,
    "mlp_out": MLP_OUTPUT,
    "mlp": MLP_OUTPUT,
}
_CONFIGS = ("cfg.json", "config.json")
WEIGHTS_FILE = "sae_weights.safetensors"
_WEIGHTS = (WEIGHTS_FILE, "sae.safetensors", "ae.pt", "sae.pt", "model.safetensors")


@dataclass(frozen=True)
class Dictionary:
    """Sparse autoencoder with F features of vectors of width d, in float32."""

    encoder: Tensor  # (d, F)
    decoder: Tensor  # (F, d)
    encoder_bias: Tensor  # (F,)
    decoder_bias: Tensor  # (d,)
    kind: str = RELU
    subtracts_bias: bool = True  # the decoder's bias is taken from the input
    k: int | None = None  # of TopK
    threshold: Tensor | None = None  # (F,) of JumpReLU, or () of BatchTopK
    gate: Mapping[str, Tensor] = field(default_factory=dict)  # of a gated one: b_gate, r_mag, b_mag
    most: float | None = None  # clamp from above
    facts: Mapping[str, Any] = field(default_factory=dict)  # of its configuration file
    skip: Tensor | None = None  # (d, d) of a transcoder: its input times this is added to what it writes
    site: str = RESIDUAL_STREAM  # what it reads: the residual stream behind a block, or the input or output of its MLP

    @property
    def is_transcoder(self) -> bool:
        """True where it reads the input of an MLP and writes its output."""
        return self.site == MLP_INPUT

    @property
    def features(self) -> int:
        """Number of features."""
        return self.encoder.shape[1]

    @property
    def width(self) -> int:
        """Width of the vectors."""
        return self.encoder.shape[0]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all weights and of what decides a code."""
        decides = (
            self.kind,
            self.subtracts_bias,
            self.k,
            self.most,
            *([] if self.site == RESIDUAL_STREAM else [self.site]),
        )
        digest = hashlib.sha256(repr(decides).encode())
        tensors = [self.encoder, self.decoder, self.encoder_bias, self.decoder_bias, *self.gate.values()]
        for value in [*tensors, *(value for value in (self.threshold, self.skip) if value is not None)]:
            digest.update(value.float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> Dictionary:
        """Return the dictionary on a device.

        Args:
            device: Device of the weights.

        Returns:
            The same dictionary there.
        """
        return replace(
            self,
            encoder=self.encoder.to(device),
            decoder=self.decoder.to(device),
            encoder_bias=self.encoder_bias.to(device),
            decoder_bias=self.decoder_bias.to(device),
            threshold=None if self.threshold is None else self.threshold.to(device),
            skip=None if self.skip is None else self.skip.to(device),
            gate={name: value.to(device) for name, value in self.gate.items()},
        )

    def encode(self, vectors: Tensor) -> Tensor:
        """Compute codes.

        Args:
            vectors: (..., d).

        Returns:
            Codes (..., F), float32.
        """
        inputs = vectors.float()
        if self.subtracts_bias:
            inputs = inputs - self.decoder_bias
        if self.kind == GATED:
            found = self._gated(inputs)
        else:
            before = inputs @ self.encoder + self.encoder_bias
            found = self._activated(before)
        return found if self.most is None else found.clamp(max=self.most)

    def _activated(self, before: Tensor) -> Tensor:
        if self.kind == JUMP_RELU:
            assert self.threshold is not None
            return torch.where(before > self.threshold, before.relu(), 0.0)
        codes = before.relu()
        if self.kind == TOPK and self.k is not None and self.k < self.features:
            best = torch.topk(codes, self.k, dim=-1)
            return torch.zeros_like(codes).scatter(-1, best.indices, best.values)
        return codes

    def _gated(self, inputs: Tensor) -> Tensor:
        product = inputs @ self.encoder
        size = torch.relu(product * self.gate["r_mag"].exp() + self.gate["b_mag"])
        return torch.where(product + self.gate["b_gate"] > 0, size, 0.0)

    def decode(self, codes: Tensor, vectors: Tensor) -> Tensor:
        """Compute the reconstruction of vectors.

        Args:
            codes: (..., F).
            vectors: What the codes are of (..., d), which a skip connection reads.

        Returns:
            Vectors (..., d).
        """
        found = codes @ self.decoder + self.decoder_bias
        return found if self.skip is None else found + vectors @ self.skip.T


def place_of(dictionary: Dictionary) -> int | None:
    """Return the layer of a dictionary by its configuration; None if not stated.

    It reads the residual stream behind this block, or the input or output of its MLP, as `Dictionary.site` says.

    Raises `InputError` for a dictionary that reads another place.
    """
    found = _stated_place(dictionary.facts)
    if found is None:
        layer = dictionary.facts.get("layer")
        return layer if isinstance(layer, int) else None
    # The stream before a block is the one behind the block before it.
    return int(found["layer"]) - (found["side"] == "pre")


def _stated_place(facts: Mapping[str, Any]) -> re.Match[str] | None:
    """Return what a configuration says of the place that is read; raises `InputError` for a place that is not supported."""
    meta = facts.get("metadata")
    name = facts.get("hook_name") or (meta.get("hook_name") if isinstance(meta, dict) else None)
    name = str(name or facts.get("submodule_name") or "")
    found = next((match for place in _PLACES if (match := place.fullmatch(name))), None)
    if name and found is None:
        raise InputError(
            f"the dictionary reads {name}; supported are the residual stream, and the input and output of an MLP"
        )
    return found


def layer_of_dictionary(dictionary: Dictionary, model: TracedModel, layer: int | None = None) -> int:
    """Return the block that a dictionary is of.

    Args:
        dictionary: The dictionary.
        model: Model that it is of.
        layer: Number of the block; the one that the configuration states where None.

    Returns:
        Number of the block.

    Raises:
        UsageError: The widths differ, there is no such block, or the configuration states another one.
    """
    if dictionary.width != model.width:
        raise UsageError(
            f"the dictionary is of vectors of width {dictionary.width}, and the model's have {model.width}"
        )
    stated = place_of(dictionary)
    if None not in (layer, stated) and layer != stated:
        raise UsageError(
            f"the configuration of the dictionary states block {stated}, and --layers or --layer says {layer}"
        )
    place = layer if layer is not None else stated
    if place is None:
        raise UsageError("a dictionary reads one layer, and its configuration states none; give it with --layers N")
    if not 0 <= place < len(model.blocks):
        raise UsageError(f"layer {place} is none of the model's layers 0 to {len(model.blocks) - 1}")
    return place


def load_dictionary(path: Path) -> Dictionary:
    """Load a sparse autoencoder.

    Args:
        path: Folder or file, in one of the layouts above.

    Returns:
        The dictionary, in float32.

    Raises:
        InputError: The file cannot be read, holds no sparse autoencoder, or one that is not supported.
        MissingExtra: safetensors is not installed.
    """
    weights = path
    facts: dict[str, Any] = {}
    if path.is_dir():
        found = [path / name for name in _WEIGHTS if (path / name).is_file()]
        if not found:
            raise InputError(f"{path} holds no sparse autoencoder; it has none of {', '.join(_WEIGHTS)}")
        weights = found[0]
        facts = next((_config(path / name) for name in _CONFIGS if (path / name).is_file()), {})
    tensors = _tensors(weights)
    try:
        return _assembled(tensors, facts)
    except KeyError as error:
        names = ", ".join(sorted(tensors))[:200]
        raise InputError(f"{weights} holds no sparse autoencoder: it lacks {error}; it has {names}") from error
    except ValueError as error:
        raise InputError(f"{weights}: {error}") from error


def _config(path: Path) -> dict[str, Any]:
    found = read_json_object(path, "it is the configuration of a sparse autoencoder")
    # dictionary_learning puts the facts of the dictionary under `trainer`.
    trainer = found.get("trainer")
    return {**found, **trainer} if isinstance(trainer, dict) else found


def _tensors(path: Path) -> dict[str, Tensor]:
    found = read_tensors(path)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise InputError(f"{path} holds {type(found).__name__}, not the named tensors of a sparse autoencoder")
    return {str(name): value.detach().float() for name, value in found.items() if isinstance(value, Tensor)}


def _first(tensors: Mapping[str, Tensor], *names: str) -> Tensor | None:
    return next((tensors[name] for name in names if name in tensors), None)


def _assembled(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Dictionary:
    """Return the dictionary of named tensors; raises `KeyError` or `ValueError` for others."""
    encoder = tensors["W_enc"] if "W_enc" in tensors else tensors["encoder.weight"].T
    decoder = tensors["W_dec"] if "W_dec" in tensors else tensors["decoder.weight"].T
    _require_finite(tensors)
    width, features = encoder.shape
    if decoder.shape != (features, width):
        raise ValueError(f"the encoder has the shape {(width, features)} and the decoder {tuple(decoder.shape)}")
    zeros = torch.zeros(features)
    decoder_bias = _first(tensors, "b_dec", "bias", "decoder.bias", "decoder_bias")
    encoder_bias = _first(tensors, "b_enc", "encoder.bias")
    k = _count(facts, tensors)
    gate = _gate(tensors)
    threshold = tensors.get("threshold")
    kind = _kind(facts, gate, threshold, k)
    _require_unscaled(facts)
    place = _stated_place(facts)
    site = _SITES.get(place["side"], RESIDUAL_STREAM) if place is not None else RESIDUAL_STREAM
    if facts.get("transcode") or "transcoder" in str(facts.get("architecture") or ""):
        site = MLP_INPUT
    skip = _skip(tensors, facts, site, width)
    subtracts = facts.get("apply_b_dec_to_input")
    if site == MLP_INPUT:
        subtracts = False  # the bias of a transcoder belongs to another place than its input
    if subtracts is None:
        # JumpReLU autoencoders of dictionary_learning and of Gemma Scope do not; all others do.
        subtracts = not (kind == JUMP_RELU and "W_enc" in tensors)
    return Dictionary(
        encoder.contiguous(),
        decoder.contiguous(),
        encoder_bias if encoder_bias is not None else zeros,
        decoder_bias if decoder_bias is not None else torch.zeros(width),
        kind,
        bool(subtracts),
        k,
        threshold if kind == JUMP_RELU else None,
        gate,
        float(facts["clamp"]) if facts.get("clamp") is not None else None,
        dict(facts),
        skip,
        site,
    )


def _require_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        # A threshold of infinity switches a feature off.
        if value.isnan().any() or (name != "threshold" and value.isinf().any()):
            raise ValueError(f"{name} holds NaN or infinity")


def _require_unscaled(facts: Mapping[str, Any]) -> None:
    if facts.get("rescale_acts_by_decoder_norm"):
        raise ValueError("rescale_acts_by_decoder_norm is set; fold the norms of the decoder into the weights first")
    if str(facts.get("normalize_activations") or "none") not in ("none", "None"):
        raise ValueError(
            f"normalize_activations is {facts['normalize_activations']!r}; fold it into the weights first (fold_activation_norm_scaling_factor)"
        )


def _skip(tensors: Mapping[str, Tensor], facts: Mapping[str, Any], site: str, width: int) -> Tensor | None:
    """Return the weights of a skip connection (d, d), None without one; raises `ValueError` where they do not fit."""
    skip = tensors.get("W_skip")
    if skip is None and (facts.get("skip_connection") or "skip" in str(facts.get("architecture") or "")):
        raise ValueError("the configuration names a skip connection, and there is no W_skip")
    if skip is not None and (site != MLP_INPUT or skip.shape != (width, width)):
        raise ValueError(f"W_skip has the shape {tuple(skip.shape)}; a transcoder of this width has {(width, width)}")
    return skip


def _kind(facts: Mapping[str, Any], gate: Mapping[str, Tensor], threshold: Tensor | None, k: int | None) -> str:
    """Return the kind of a dictionary, by its configuration and tensors; raises `ValueError` for TopK without k."""
    named = str(facts.get("architecture") or facts.get("dict_class") or facts.get("activation_fn_str") or "").lower()
    if gate:
        return GATED
    if threshold is not None and bool((threshold >= 0).all()) and ("topk" not in named or "batch" in named):
        # BatchTopK keeps the k x batch largest codes while it trains, and those above a threshold when it is used.
        return JUMP_RELU
    if k is None and "topk" in named:
        raise ValueError("the configuration names TopK and states no k")
    return TOPK if k is not None else RELU


def _count(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int | None:
    """Return the k of TopK, of the configuration or of the weights."""
    inner = facts.get("activation_fn_kwargs")
    given = facts.get("k") or (inner.get("k") if isinstance(inner, dict) else None)
    if given is None and "k" in tensors:
        given = tensors["k"].item()
    if given is None:
        return None
    if not isinstance(given, int | float) or int(given) < 1:
        raise ValueError(f"k is {given!r}, not a number of features")
    return int(given)


def _gate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the biases and scales of a gated dictionary, under the names of SAELens; empty for others."""
    found = {
        "b_gate": _first(tensors, "b_gate", "gate_bias"),
        "r_mag": tensors.get("r_mag"),
        "b_mag": _first(tensors, "b_mag", "mag_bias"),
    }
    return {name: value for name, value in found.items() if value is not None} if None not in found.values() else {}
