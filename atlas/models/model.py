"""Causal language model of the Llama family, with the values of a forward pass that the linearised model needs.

`transformers` runs the forward pass, so activations are those of the real model. Hooks record the values that
`atlas.trace.linearized` needs: attention patterns, inverse root mean squares, gates and ups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from atlas.errors import UsageError
from atlas.models.architectures import mlp_signature, require_supported
from atlas.models.cache import Blend, Cache, LayerCache, attention_cache, norm_cache, wide
from atlas.models.exact import FLOAT64_ATTENTION, compute_in_float64
from atlas.models.recorder import Recorder, Seen

Writer = Callable[[int, Tensor], Tensor]
StreamWriter = Callable[[Tensor, Tensor], Tensor]
# Places of a block that values are read at.
RESIDUAL_STREAM, MLP_INPUT, MLP_OUTPUT, NEURONS = "residual_stream", "mlp_input", "mlp_output", "neurons"
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


class TracedModel:
    """Model of `transformers` with its tokenizer; `name` is its name in graphs and statistics."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        config = model.config
        require_supported(config.to_dict(), name)
        if config._attn_implementation not in ("eager", FLOAT64_ATTENTION):
            raise UsageError(f'{name} gives no attention patterns; load it with attn_implementation="eager"')
        self.model = model.eval().requires_grad_(False)
        if model.dtype == torch.float64:
            compute_in_float64(model)
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
    def special_tokens(self) -> list[int]:
        """Ids of the tokens of the tokenizer that are no text, ascending."""
        return sorted(set(getattr(self.tokenizer, "all_special_ids", ())))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the name, shape, type and a sample of every weight; it tells graphs of different models apart."""
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            sample = value.flatten()[:: max(1, value.numel() // 64)].double().cpu().numpy()
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode() + sample.tobytes())
        return digest.hexdigest()

    @cached_property
    def mlp_signature(self) -> str:
        """Hash of the signs of some MLP weights of every layer; it does not depend on the type of the weights."""
        return mlp_signature(block.mlp.module.down_proj.weight[0] for block in self.blocks)

    def token_texts(self, ids: list[int]) -> list[str]:
        """Return tokens as the vocabulary spells them.

        Args:
            ids: Token ids (n_tokens,).

        Returns:
            Their texts (n_tokens,).
        """
        texts: list[str] = self.tokenizer.convert_ids_to_tokens(ids)
        return texts

    def forward(self, prompts: list[list[int]], blend: Blend | None = None) -> Cache:
        """Run the model on token ids.

        Prompts are padded on the right. Attention is causal, so padding does not change the values of a prompt.

        Args:
            prompts: Token ids per prompt, of any lengths.
            blend: Values that embeddings and neurons write instead of their own. Attention, norms, gates and ups are
                computed from them.

        Returns:
            Activations and logits of the batch, padded to its longest prompt.
        """
        ids, lengths = self._padded(prompts)
        written: Writer | None = None
        if blend is not None:
            found = blend

            def written(layer: int, _: Tensor) -> Tensor:
                return found.neurons(layer).to(self.model.dtype)

        embedding = self.embedding[ids] if blend is None else blend.tokens().to(self.model.dtype)
        with torch.no_grad(), self._kept() as seen, self.writing(written):
            self.model.model(inputs_embeds=embedding, use_cache=False)
            return self._cache(embedding, seen, lengths)

    def _padded(self, prompts: list[list[int]]) -> tuple[Tensor, tuple[int, ...]]:
        """Return token ids padded on the right, (B, n), and the length of every prompt."""
        lengths = tuple(len(ids) for ids in prompts)
        ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long, device=self.device)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        return ids, lengths

    def values(self, prompts: list[list[int]], layers: Sequence[int], site: str) -> dict[int, Tensor]:
        """Run the model and return the values at one place of some layers.

        Args:
            prompts: Token ids per prompt, padded on the right.
            layers: Numbers of the layers.
            site: `NEURONS`, `RESIDUAL_STREAM` (behind each block), `MLP_INPUT` (behind the norm, where there is one before the MLP)
                or `MLP_OUTPUT`.

        Returns:
            By layer, values (B, n, neurons) or (B, n, d) in the type of the model. Values on padding have no meaning.
        """
        recorder = Recorder()
        for layer in layers:
            mlp = self.blocks[layer].mlp.module
            if site == RESIDUAL_STREAM:
                recorder.keep_stream(self.model.model.layers[layer], layer, "values")
            elif site == MLP_OUTPUT:
                recorder.keep_stream(mlp, layer, "values")
            else:
                recorder.keep_input(mlp if site == MLP_INPUT else mlp.down_proj, layer, "values")
        try:
            with torch.no_grad():
                self.model.model(input_ids=self._padded(prompts)[0], use_cache=False)
        finally:
            recorder.remove()
        return {layer: recorder.seen[layer, "values"] for layer in layers}

    def last_logits(self, prompts: list[list[int]]) -> Tensor:
        """Run the model without recording its values.

        Args:
            prompts: Token ids per prompt.

        Returns:
            Logits at the last token of every prompt (B, vocabulary), float32 at least.
        """
        ids, lengths = self._padded(prompts)
        with torch.no_grad():
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
            last = hidden[torch.arange(len(lengths)), torch.tensor(lengths) - 1]
            return wide(self.model.get_output_embeddings()(last))

    def losses(
        self, prompts: list[list[int]], layer: int = 0, write: StreamWriter | None = None, site: str = RESIDUAL_STREAM
    ) -> Tensor:
        """Compute the loss of every next token, with the residual stream behind one block replaced, or the output of its MLP.

        Args:
            prompts: Token ids per prompt, padded on the right.
            layer: Number of the block.
            write: Called with what a dictionary of the site reads and with what is replaced (B, n, d), returns what replaces it;
                None changes nothing. Both are the same but for `MLP_INPUT`, where the output of the MLP is replaced.
            site: Place of the block.

        Returns:
            Cross entropy in nats of token i + 1 at place i (B, n - 1), NaN on padding.
        """

        def after(_: object, given: tuple[Tensor, ...], output: Any) -> Any:
            assert write is not None
            stream = output[0] if isinstance(output, tuple) else output
            written = write(given[0] if site == MLP_INPUT else stream, stream).to(stream.dtype)
            return (written, *output[1:]) if isinstance(output, tuple) else written

        ids, lengths = self._padded(prompts)
        module = self.model.model.layers[layer] if site == RESIDUAL_STREAM else self.blocks[layer].mlp.module
        hook = module.register_forward_hook(after) if write is not None else None
        try:
            with torch.no_grad():
                logits = wide(self.model(input_ids=ids, use_cache=False).logits)
        finally:
            if hook is not None:
                hook.remove()
        found = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        found = found.view(len(prompts), -1)
        ends = torch.tensor(lengths, device=found.device)[:, None]
        return found.masked_fill(torch.arange(1, ids.shape[1], device=found.device) >= ends, torch.nan)

    @contextmanager
    def writing(self, write: Writer | None) -> Iterator[None]:
        """Replace what neurons write, while the model runs.

        Args:
            write: Called with the number of the layer and its activations (B, n, m), returns what the neurons write
                instead; None changes nothing.

        Yields:
            Nothing.
        """
        hooks = []
        for layer, block in enumerate(self.blocks if write is not None else []):

            def before(_: object, args: tuple[Tensor, ...], layer: int = layer) -> tuple[Tensor]:
                assert write is not None
                return (write(layer, args[0]),)

            hooks.append(block.mlp.module.down_proj.register_forward_pre_hook(before))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def _kept(self) -> Iterator[Seen]:
        """Record the values that `_cache` needs, by layer and name, while the model runs."""
        recorder = Recorder()
        for layer, block in enumerate(self.blocks):
            mlp, attention = block.mlp, block.attention.module
            recorder.keep_output(attention, layer, "pattern")
            recorder.keep_rotation(attention, layer)
            for name in ("q", "k"):
                norm = getattr(attention, f"{name}_norm", None)
                if norm is not None:
                    recorder.keep_input(norm, layer, f"{name}_norm")
                recorder.keep_output(norm or getattr(attention, f"{name}_proj"), layer, name)
            recorder.keep_output(attention.v_proj, layer, "v")
            recorder.keep_input(block.attention.norm, layer, "attention_norm")
            recorder.keep_input(mlp.norm, layer, "mlp_norm")
            recorder.keep_output(mlp.module.gate_proj, layer, "gate")
            recorder.keep_output(mlp.module.up_proj, layer, "up")
            recorder.keep_output(mlp.norm_after or mlp.module, layer, "mlp_out")
        recorder.keep_input(self.final_norm, -1, "final")
        try:
            yield recorder.seen
        finally:
            recorder.remove()

    def _cache(self, embedding: Tensor, seen: Seen, lengths: tuple[int, ...]) -> Cache:
        layers = [
            LayerCache(
                attention_cache(block.attention.module, layer, seen),
                norm_cache(seen[layer, "attention_norm"], block.attention.norm),
                norm_cache(seen[layer, "mlp_norm"], block.mlp.norm),
                *(wide(seen[layer, name]) for name in ("gate", "up", "mlp_out")),
            )
            for layer, block in enumerate(self.blocks)
        ]
        final = seen[-1, "final"]
        last = torch.tensor(lengths, device=final.device) - 1
        stream = final[torch.arange(len(lengths), device=final.device), last]
        logits = self.model.get_output_embeddings()(self.final_norm(stream))
        return Cache(wide(embedding), layers, norm_cache(final, self.final_norm), wide(logits), lengths)


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
