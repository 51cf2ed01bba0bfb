"""Causal language model of the Llama family, with the values of a forward pass that the linearised model needs.

`transformers` runs the forward pass, so activations are those of the real model. Hooks record the values that
`atlas.trace.linearized` needs: attention patterns, inverse root mean squares, gates and ups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from atlas.errors import UsageError
from atlas.models.architectures import require_supported

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


@dataclass(frozen=True)
class Sublayer:
    """Attention or MLP of a block, with the norm before it or after it (OLMo 2 and 3)."""

    module: Any
    norm_before: Any | None
    norm_after: Any | None

    @property
    def norm(self) -> Any:
        """Norm of the sublayer, before or after it."""
        return self.norm_before or self.norm_after


@dataclass(frozen=True)
class Block:
    """Decoder layer: attention and MLP."""

    attention: Sublayer
    mlp: Sublayer


@dataclass(frozen=True)
class LayerCache:
    """Values of one layer on a batch: B prompts of n positions, H heads, m neurons, model width d."""

    attention: Tensor  # (B, H, n, n) pattern, rows are queries
    attention_scale: Tensor  # (B, n, 1) inverse root mean square at the norm of the attention
    mlp_scale: Tensor  # (B, n, 1) the same at the norm of the MLP
    gate: Tensor  # (B, n, m) before SiLU
    up: Tensor  # (B, n, m)
    mlp_out: Tensor  # (B, n, d) contribution of the MLP to the residual stream

    def of(self, prompt: int, length: int) -> LayerCache:
        """Return the cache of one prompt without padding, as a batch of one."""
        return LayerCache(
            self.attention[prompt : prompt + 1, :, :length, :length],
            *(
                value[prompt : prompt + 1, :length]
                for value in (self.attention_scale, self.mlp_scale, self.gate, self.up, self.mlp_out)
            ),
        )


@dataclass(frozen=True)
class Cache:
    """Values of a forward pass."""

    embedding: Tensor  # (B, n, d)
    layers: list[LayerCache]
    final: Tensor  # (B, n, d) residual stream before the last norm
    final_scale: Tensor  # (B, n, 1)
    logits: Tensor  # (B, vocabulary) at the last token of each prompt
    lengths: tuple[int, ...]

    def of(self, prompt: int) -> Cache:
        """Return the cache of one prompt without padding, as a batch of one."""
        length, one = self.lengths[prompt], slice(prompt, prompt + 1)
        return Cache(
            self.embedding[one, :length],
            [layer.of(prompt, length) for layer in self.layers],
            self.final[one, :length],
            self.final_scale[one, :length],
            self.logits[one],
            (length,),
        )


class TracedModel:
    """Model of `transformers` with its tokenizer; `name` is its name in graphs and statistics."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        config = model.config
        require_supported(config.to_dict(), name)
        if config._attn_implementation != "eager":
            raise UsageError(f'{name} gives no attention patterns; load it with attn_implementation="eager"')
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.blocks = [_block(module) for module in model.model.layers]
        self.final_norm = model.model.norm
        self.heads: int = config.num_attention_heads
        self.groups: int = config.num_attention_heads // config.num_key_value_heads
        self.neurons: int = config.intermediate_size
        self.width: int = config.hidden_size
        self.head_width: int = self.blocks[0].attention.module.o_proj.weight.shape[1]  # of all heads together
        self.vocabulary: int = config.vocab_size
        self.most_positions: int = config.max_position_embeddings

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = self.model.device
        return device

    @property
    def usual_batch(self) -> int:
        """Default number of prompts per batch: 1 on a CPU, 8 on a GPU.

        On a CPU, a larger batch is not faster, and the last bits of a result depend on the other prompts in the batch.
        """
        return 1 if self.device.type == "cpu" else 8

    @property
    def embedding(self) -> Tensor:
        """Token embeddings (vocabulary, d)."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    @property
    def unembedding(self) -> Tensor:
        """Unembedding matrix (vocabulary, d)."""
        weight: Tensor = self.model.get_output_embeddings().weight
        return weight

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the name, shape, type and a sample of every weight; it tells graphs of different models apart."""
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            sample = value.flatten()[:: max(1, value.numel() // 64)].double().cpu().numpy()
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode() + sample.tobytes())
        return digest.hexdigest()

    def token_texts(self, ids: list[int]) -> list[str]:
        """Return tokens as the vocabulary spells them.

        Args:
            ids: Token ids (n_tokens,).

        Returns:
            Their texts (n_tokens,).
        """
        texts: list[str] = self.tokenizer.convert_ids_to_tokens(ids)
        return texts

    def forward(self, prompts: list[list[int]]) -> Cache:
        """Run the model on token ids.

        Prompts are padded on the right. Attention is causal, so padding does not change the values of a prompt.

        Args:
            prompts: Token ids per prompt, of any lengths.

        Returns:
            Activations and logits of the batch, padded to its longest prompt.
        """
        lengths = tuple(len(ids) for ids in prompts)
        ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long, device=self.device)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        seen: dict[tuple[int, str], Tensor] = {}
        with torch.no_grad(), self._kept(seen):
            self.model.model(input_ids=ids, use_cache=False)
            return self._cache(ids, seen, lengths)

    @contextmanager
    def _kept(self, seen: dict[tuple[int, str], Tensor]) -> Iterator[None]:
        """Record the values that `_cache` needs, by layer and name, while the model runs."""
        hooks = []

        def keep(module: Any, layer: int, name: str, *, result: bool) -> None:
            def before(_: object, args: tuple[Tensor, ...]) -> None:
                seen[layer, name] = args[0]

            def after(_: object, __: object, output: Any) -> None:
                seen[layer, name] = output[1] if isinstance(output, tuple) else output

            hooks.append(module.register_forward_hook(after) if result else module.register_forward_pre_hook(before))

        for layer, block in enumerate(self.blocks):
            mlp = block.mlp
            keep(block.attention.module, layer, "attention", result=True)
            keep(block.attention.norm, layer, "attention_norm", result=False)
            keep(mlp.norm, layer, "mlp_norm", result=False)
            keep(mlp.module.gate_proj, layer, "gate", result=True)
            keep(mlp.module.up_proj, layer, "up", result=True)
            keep(mlp.norm_after or mlp.module, layer, "mlp_out", result=True)
        keep(self.final_norm, -1, "final", result=False)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _cache(self, ids: Tensor, seen: dict[tuple[int, str], Tensor], lengths: tuple[int, ...]) -> Cache:
        layers = [
            LayerCache(
                wide(seen[layer, "attention"]),
                inverse_rms(seen[layer, "attention_norm"], block.attention.norm),
                inverse_rms(seen[layer, "mlp_norm"], block.mlp.norm),
                *(wide(seen[layer, name]) for name in ("gate", "up", "mlp_out")),
            )
            for layer, block in enumerate(self.blocks)
        ]
        final = seen[-1, "final"]
        last = torch.tensor(lengths, device=final.device) - 1
        stream = final[torch.arange(len(lengths), device=final.device), last]
        logits = self.model.get_output_embeddings()(self.final_norm(stream))
        return Cache(
            wide(self.embedding[ids]),
            layers,
            wide(final),
            inverse_rms(final, self.final_norm),
            wide(logits),
            lengths,
        )


def wide(value: Tensor) -> Tensor:
    """Return a tensor in float32, or float64 if it is float64: sums over thousands of products need it."""
    return value if value.dtype == torch.float64 else value.float()


def inverse_rms(value: Tensor, norm: Any) -> Tensor:
    """Return 1 / sqrt(mean of squares + epsilon) over the last axis, which is kept."""
    return torch.rsqrt(wide(value).square().mean(-1, keepdim=True) + norm.variance_epsilon)


def _block(module: Any) -> Block:
    # Llama, Mistral and Qwen normalise the input of a sublayer, OLMo 2 and 3 its output.
    before = hasattr(module, "input_layernorm")
    attention = (module.input_layernorm, None) if before else (None, module.post_attention_layernorm)
    mlp = (module.post_attention_layernorm, None) if before else (None, module.post_feedforward_layernorm)
    return Block(Sublayer(module.self_attn, *attention), Sublayer(module.mlp, *mlp))


def weight_of(linear: torch.nn.Linear, like: Tensor) -> Tensor:
    """Return the weight of a linear layer in the type of `like`."""
    weight: Tensor = linear.weight
    return weight.to(like.dtype)


def activation(layer: LayerCache) -> Tensor:
    """Return the activations of neurons: silu(gate) * up, (B, n, m)."""
    return torch.nn.functional.silu(layer.gate) * layer.up
