"""The models and prompts of the tracer's benchmarks."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as atlas.trace does where it is imported first

import torch
import trace_models

from atlas.importers.llama2c import convert
from atlas.models import Prompt, TracedModel, load_model, read_prompts
from atlas.options import PromptOptions

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ATLAS_TEST_DATA", ROOT.parent / "shared" / "data"))


def prompts_of(path: Path, model: TracedModel, options: PromptOptions, seed: int = 0) -> list[Prompt]:
    """The prompts of a file that can be traced, in random order."""
    found = [item for item in read_prompts(path, model, options) if isinstance(item, Prompt)]
    random.Random(seed).shuffle(found)
    return found


def demo(_: Path | None = None) -> tuple[TracedModel, list[Prompt]]:
    """The demo model and its prompts."""
    model = load_model(ROOT / "build" / "demo", device="cpu")
    return model, prompts_of(ROOT / "build" / "demo" / "prompts.jsonl", model, PromptOptions())


def stories(work: Path) -> tuple[TracedModel, list[Prompt]]:
    """stories260K, converted, with the beginnings of stories as prompts."""
    folder = DATA / "models" / "stories260K"
    convert(folder / "stories260K.bin", folder / "tok512.bin", work / "stories260K")
    model = load_model(work / "stories260K", device="cpu")
    options = PromptOptions(separator="<|endoftext|>", max_tokens=32, truncate=True)
    return model, prompts_of(DATA / "text" / "tinystories_sample.txt", model, options)


def has_stories() -> bool:
    """Whether the data folder is there."""
    return (DATA / "models" / "stories260K").is_dir()


def wide(layers: int = 12, width: int = 512, neurons: int = 2048) -> tuple[TracedModel, list[Prompt]]:
    """A random model of a larger shape, and prompts of 32 random tokens."""
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=8192, hidden_size=width, intermediate_size=neurons, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=256,
    )  # fmt: skip
    config._attn_implementation = "eager"
    model = TracedModel(transformers.LlamaForCausalLM(config), trace_models.Letters(), f"random-{layers}x{neurons}")
    drawn = random.Random(0)
    prompts = [
        Prompt(f"graph_{number}.json", "", tuple(drawn.randrange(8192) for _ in range(32))) for number in range(20)
    ]
    return model, prompts
