"""Loading of models and tokenizers from a local folder or the model hub, with `transformers`."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from atlas.errors import AtlasError, InputError, UsageError, needs_extra
from atlas.models.architectures import require_supported
from atlas.models.model import DTYPES, TracedModel
from atlas.runtime.devices import choose_device

# A tokenizer has at least one of these files.
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Translate an out-of-memory error of the GPU inside the block into an `AtlasError` with advice.

    Yields:
        Nothing.

    Raises:
        AtlasError: The GPU runs out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise AtlasError(
            f"the GPU's memory is too small ({' '.join(str(error).split())[:150]}); "
            "lower --batch or --max-tokens, or take --dtype bfloat16, and run the same command again"
        ) from error


def gpu_of(part: int, device: str) -> str:
    """Choose the GPU for a part of the work, round-robin over the GPUs; dask-cuda shows each worker its own GPU.

    Args:
        part: Number of the part, from 0.
        device: `auto`, `cpu`, `cuda` or one GPU such as `cuda:1`.

    Returns:
        The device of that part.
    """
    return f"cuda:{part % torch.cuda.device_count()}" if device == "auto" and torch.cuda.is_available() else device


def load_model(
    model: str | Path, *, name: str | None = None, device: str = "auto", dtype: str | None = None
) -> TracedModel:
    """Load a causal language model of the Llama family with its tokenizer.

    Args:
        model: Folder that `transformers` loads, or name on the model hub.
        name: Name of the model in graphs; where None, the name of the folder or the full hub name.
        device: `auto`, `cpu`, `cuda` or one GPU such as `cuda:1`.
        dtype: Type of the weights; where None, float32 on a CPU and the type of the files on a GPU.

    Returns:
        The model, ready to trace.

    Raises:
        InputError: The model does not exist, cannot be loaded, or is of an unsupported architecture.
        MissingExtra: transformers is not installed.
        UsageError: The device or dtype does not exist.
    """
    with needs_extra("trace"):
        import transformers

    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r} is none; there are {', '.join(DTYPES)}")
    where = choose_device(device)
    _quiet(transformers)
    given = str(model)
    local = os.path.isdir(given)  # noqa: PTH112 (hub names are not paths)
    if not local and given.startswith((".", "/", "~")):
        raise InputError(f"{given} is not a folder; give the folder of a model, or its name on the hub")
    try:
        config = transformers.AutoConfig.from_pretrained(given)
        require_supported(config.to_dict(), given)
        if local and not any((Path(given) / name).is_file() for name in _TOKENIZERS):
            raise InputError(f"{given}: the folder has no tokenizer; copy tokenizer.json of the model into it")
        if getattr(config, "quantization_config", None):
            raise InputError(f"{given} holds quantised weights; trace the model that they were made of")
        kind = DTYPES[dtype] if dtype else "auto" if where != "cpu" else torch.float32
        found: Any = transformers.AutoModelForCausalLM.from_pretrained(
            given, dtype=kind, attn_implementation="eager", output_loading_info=True
        )
        loaded, facts = found
        _refuse_missing(given, facts)
        tokenizer = transformers.AutoTokenizer.from_pretrained(given)
        loaded = loaded.to(where)
    except AtlasError:
        raise
    except Exception as error:  # a damaged file may raise anything in the libraries that read it
        said = " ".join(str(error).split())[:200]
        what = (
            "no model folder (config.json, *.safetensors, tokenizer.json)"
            if local
            else "no folder here and no model on the hub"
        )
        raise InputError(f"{given}: {what} that can be loaded ({said})") from error
    title = name or (Path(given).resolve().name if local else given)
    return TracedModel(loaded, tokenizer, title)


def _refuse_missing(model: str, facts: dict[str, Any]) -> None:
    """Raise `InputError` where the files lack weights, which `transformers` fills with random numbers."""
    lacking = sorted(str(name) for kind in ("missing_keys", "mismatched_keys") for name in facts.get(kind) or ())
    if lacking:
        raise InputError(
            f"{model} lacks {len(lacking)} weights of its own shape: {', '.join(lacking)[:200]}; the files are incomplete"
        )


def _quiet(transformers: Any) -> None:
    """Turn off progress bars and log messages of `transformers`; the caller reports errors."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
