"""Train the demo model: a small Llama on the sources of the Python standard library.

    python build/demo/train_demo.py build/demo        # or: make demo-model

Writes a folder that `transformers` loads (config.json, model.safetensors in float16, tokenizer.json) and
`training.json`: seed, text, loss on held-out files, and the checksum of the weights. Code has crisp
circuits: brackets, indentation, `self.`, keywords, quotes. The standard library lies on every machine with
Python; another version of it gives another, equally good model, so the trained one is committed.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = 42
VOCABULARY = 1024
BLOCK, BATCH, STEPS, RATE = 128, 32, 1_500, 3e-3
CONFIG: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
END = "<|endoftext|>"
# Tables of characters, tests, and a copy of another program's grammar: no code as people write it.
_LEFT_OUT = {"site-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "lib2to3", "turtledemo"}


def texts() -> Iterator[tuple[str, str]]:
    """The source files of the standard library, by name."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if not _LEFT_OUT & set(inside.parts) and not inside.name.startswith("_sysconfigdata"):
            yield inside.as_posix(), path.read_text(encoding="utf-8", errors="replace")


def make_tokenizer(corpus: list[str]) -> Any:
    """A byte-level BPE of `VOCABULARY` entries, with token 0 in front of every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    return tokenizer


def held_out(name: str) -> bool:
    """Whether a file is kept from training: one in 32, by the hash of its name."""
    return hashlib.sha256(name.encode()).digest()[0] < 8


def train(tokens: Any, seed: int = SEED, steps: int = STEPS) -> Any:
    """The trained model; `tokens` is one long tensor."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    starts = torch.randint(len(tokens) - BLOCK, (steps, BATCH))
    began = time.monotonic()
    for step in range(steps):
        warm = min(1.0, (step + 1) / 50)
        cosine = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = RATE * warm * cosine
        batch = torch.stack([tokens[start : start + BLOCK] for start in starts[step].tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step:5} of {steps}  loss {loss.item():.3f}  {time.monotonic() - began:5.0f} s", flush=True)  # noqa: T201 (the progress of a script)
    model.train(False)
    return model


def loss_on(model: Any, tokens: Any) -> float:
    """Mean loss in nats per token over consecutive blocks."""
    import torch

    blocks = tokens[: len(tokens) // BLOCK * BLOCK].view(-1, BLOCK)
    with torch.no_grad():
        losses = [model(input_ids=block, labels=block).loss.item() for block in blocks.split(64)]
    return float(sum(losses) / len(losses))


def main(folder: Path) -> None:
    """Train, and write the model's folder."""
    import torch
    from transformers import PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast
    files = list(texts())
    tokenizer = make_tokenizer([text for _, text in files])
    ids = {name: tokenizer.encode(text).ids for name, text in files}
    parts = [
        torch.tensor([token for name in ids if held_out(name) is side for token in ids[name]]) for side in (False, True)
    ]
    began = time.monotonic()
    model = train(parts[0]).half().float()
    facts = {
        "text": f"standard library of Python {sys.version.split()[0]}",
        "files": len(files),
        "tokens": len(parts[0]),
        "seed": SEED,
        "steps": STEPS,
        "tokens_seen": STEPS * BATCH * BLOCK,
        "seconds": round(time.monotonic() - began),
        "held_out_loss": round(loss_on(model, parts[1]), 4),
    }
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    fast(tokenizer_object=tokenizer, bos_token=END, eos_token=END).save_pretrained(folder)
    facts["sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
