"""Conversion of llama2.c models (version 0 of the file format) to folders that `transformers` loads.

The weights file holds seven int32 (width, MLP width, layers, heads, key-value heads, vocabulary, positions), then
float32 arrays: the token embedding; for all layers the attention norm, wq, wk, wv, wo, MLP norm, w1 (gate),
w2 (down), w3 (up); the last norm; two tables of rotary angles; and the unembedding, if it is not the embedding. In that
case the vocabulary is negative. The tokenizer file holds the length of the longest token, then score, length and
bytes of each token.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from atlas.errors import InputError
from atlas.io.files import translated_os_errors

HEADER = struct.Struct("<7i")
_BOS, _EOS = 1, 2


def convert(weights: Path, tokenizer: Path, out: Path) -> str:
    """Write the model folder and return a description of the model's shape.

    Raises `InputError` where a file is of another format, `OutputError` where the folder cannot be written.
    """
    from safetensors.numpy import save_file

    config, tensors = _read_weights(weights)
    vocabulary = _read_tokens(tokenizer, config["vocab_size"])
    with translated_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
        (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        _write_tokenizer(vocabulary, out)
    return (
        f"{config['num_hidden_layers']} layers of {config['intermediate_size']} neurons, "
        f"width {config['hidden_size']}, {len(vocabulary)} tokens"
    )


def _read_weights(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    header = HEADER.unpack_from(data) if len(data) >= HEADER.size else (0,) * 7
    width, hidden, layers, heads, kv_heads, words, positions = header
    tied, words = words > 0, abs(words)
    if min(width, hidden, layers, heads, kv_heads, words, positions) < 1 or width % heads or heads % kv_heads:
        raise InputError(f"{path} is no llama2.c model: its header says {header}")
    head, kv_width = width // heads, kv_heads * (width // heads)
    shapes = [
        ("embed", (words, width)),
        ("norm1", (layers, width)),
        ("q", (layers, width, width)),
        ("k", (layers, kv_width, width)),
        ("v", (layers, kv_width, width)),
        ("o", (layers, width, width)),
        ("norm2", (layers, width)),
        ("gate", (layers, hidden, width)),
        ("down", (layers, width, hidden)),
        ("up", (layers, hidden, width)),
        ("norm", (width,)),
        ("angles", (2, positions, head // 2)),
        *([] if tied else [("head", (words, width))]),
    ]
    expected = HEADER.size + 4 * sum(int(np.prod(shape)) for _, shape in shapes)
    if len(data) != expected:
        raise InputError(f"{path} is no llama2.c model: {len(data):,} bytes, its header asks for {expected:,}")
    found, at = {}, HEADER.size
    for name, shape in shapes:
        count = int(np.prod(shape))
        found[name] = np.frombuffer(data, "<f4", count, at).reshape(shape)
        at += 4 * count
    config = _config(header, tied)
    return config, _named(found, layers, heads, kv_heads)


def _config(header: tuple[int, ...], tied: bool) -> dict[str, Any]:
    width, hidden, layers, heads, kv_heads, words, positions = header
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": abs(words),
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": width // heads,
        "max_position_embeddings": positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "bos_token_id": _BOS,
        "eos_token_id": _EOS,
        "dtype": "float32",
    }


def _named(found: dict[str, np.ndarray], layers: int, heads: int, kv_heads: int) -> dict[str, np.ndarray]:
    names = {
        "norm1": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "norm2": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "down": "mlp.down_proj",
        "up": "mlp.up_proj",
    }
    tensors = {"model.embed_tokens.weight": found["embed"], "model.norm.weight": found["norm"]}
    if "head" in found:
        tensors["lm_head.weight"] = found["head"]
    for layer in range(layers):
        for short, name in names.items():
            value = found[short][layer]
            if short in "qk":
                value = _halves(value, heads if short == "q" else kv_heads)
            tensors[f"model.layers.{layer}.{name}.weight"] = np.ascontiguousarray(value)
    return {name: value.astype(np.float32) for name, value in tensors.items()}


def _halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of a rotary projection: llama2.c rotates neighbours (0, 1), transformers the halves (0, h/2)."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _read_tokens(path: Path, count: int) -> list[tuple[str, float]]:
    try:
        data = path.read_bytes()
        at = 4
        found: list[tuple[str, float]] = []
        for _ in range(count):
            score, length = struct.unpack_from("<fi", data, at)
            text = data[at + 8 : at + 8 + length]
            if len(text) != length:
                raise InputError(f"{path} ends within token {len(found)} of {count}")
            found.append((text.decode("utf-8"), score))
            at += 8 + length
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no llama2.c tokenizer of {count} tokens ({error})") from error
    return found


def _write_tokenizer(vocabulary: list[tuple[str, float]], out: Path) -> None:
    """Write a BPE tokenizer with merges ordered by score, a space before every text, and a fallback to bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    wrapped: Any = PreTrainedTokenizerFast

    names = ["<unk>", "<s>", "</s>"]
    tokens = [*names, *(f"<0x{byte:02X}>" for byte in range(256)), *(text for text, _ in vocabulary[259:])]
    ids: dict[str, int] = {}
    for number, token in enumerate(tokens):
        ids.setdefault(token, number)
    ranked = sorted(range(259, len(vocabulary)), key=lambda number: (-vocabulary[number][1], number))
    merges = [
        (token[:cut], token[cut:])
        for token in (tokens[number] for number in ranked)
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", _BOS)])
    fast = wrapped(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(out)
