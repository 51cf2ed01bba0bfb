"""Training of a sparse autoencoder on the residual stream behind a block.

Vectors are scaled to a mean norm of sqrt(d) while training; the scale is folded into the weights that are written. Rows of the
decoder have norm 1. The losses are those of `atlas.activations.autoencoder`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atlas.activations.autoencoder import SILENT_STEPS, Autoencoder
from atlas.activations.collect import read_contexts
from atlas.activations.dictionaries import WEIGHTS_FILE, Dictionary, load_dictionary
from atlas.activations.reconstruction import Reconstruction, first_batches, reconstruct
from atlas.errors import InputError, OutputError, UsageError, needs_extra
from atlas.io.files import only_writer, replaced_file, sha256_of, write_json
from atlas.models.load import enough_memory
from atlas.models.model import RESIDUAL_STREAM, TracedModel
from atlas.options import BATCH_TOPK, RELU, DocumentOptions, TrainOptions
from atlas.runtime.progress import Progress
from atlas.stages.store.cells import Context, looked_at_cells

HELD_OUT = 16  # one document in so many is for the evaluation
LOG_STEPS = 100
_STATE = ("W_enc", "W_dec", "b_enc", "b_dec")


@dataclass(frozen=True)
class TrainSummary:
    """Result of a training: counts, and the measures on held-out documents (`Reconstruction.facts`)."""

    steps: int
    tokens: int
    features: int
    dead_in_training: int  # features without a code in the last epoch
    measures: dict[str, Any]
    held_out: bool  # False where the text is too small to hold documents out


@dataclass
class _State:
    """Place of a training that a later run goes on from."""

    epoch: int = 0
    buffer: int = 0
    step: int = 0
    tokens: int = 0
    scale: float = 0.0  # of the vectors; 0 until the first chunk was read


def train_dictionary(
    model: TracedModel,
    text: Path,
    out: Path,
    layer: int,
    options: TrainOptions | None = None,
    *,
    corpus: DocumentOptions | None = None,
    batch: int = 8,
    fresh: bool = False,
    progress: Progress,
) -> TrainSummary:
    """Train a sparse autoencoder on the residual stream behind a block, and write it as a SAELens folder.

    One document in 16, by a hash of its text, is held out for the evaluation. A killed training goes on from the last whole
    buffer, with the same result.

    Args:
        model: Model with its tokenizer.
        text: .jsonl, .txt or .parquet.
        out: Folder for cfg.json, sae_weights.safetensors and training.json.
        layer: Number of the block.
        options: Kind, size and steps; the defaults where None.
        corpus: Options that select the documents of the text.
        batch: Number of contexts per forward pass.
        fresh: Discard an unfinished or finished training of the folder.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts, and the measures on held-out documents.

    Raises:
        InputError: The text cannot be read, or holds too few tokens.
        OutputError: The folder holds a finished training, or something else, or cannot be written.
        UsageError: The model has no such layer, or k is above the number of features.
    """
    options, corpus = options or TrainOptions(), corpus or DocumentOptions()
    if not 0 <= layer < len(model.blocks):
        raise UsageError(f"layer {layer} is none of the model's layers 0 to {len(model.blocks) - 1}")
    if options.kind != RELU and options.k > options.expansion * model.width:
        raise UsageError(
            f"k is {options.k}, and there are {options.expansion * model.width} features (expansion x width)"
        )
    refuse_other_files(out)
    if (out / "training.json").exists() and not fresh:
        raise OutputError(f"{out} holds a trained autoencoder; --fresh replaces it, or choose another -o")
    with only_writer(out):
        return _Training(model, text, out, layer, options, corpus, batch, progress).run(fresh)


def refuse_other_files(out: Path) -> None:
    """Refuse a folder that holds anything but a trained autoencoder, so that a mistyped -o removes nothing.

    Args:
        out: Folder to be written.

    Raises:
        OutputError: The folder, or file, holds something else.
    """
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if out.is_file() or names - {"cfg.json", "training.json", "training.state", WEIGHTS_FILE}:
        raise OutputError(f"{out} holds other files than a trained sparse autoencoder; choose another -o")


class _Training:
    def __init__(
        self,
        model: TracedModel,
        text: Path,
        out: Path,
        layer: int,
        options: TrainOptions,
        corpus: DocumentOptions,
        batch: int,
        progress: Progress,
    ) -> None:
        self.model, self.text, self.out, self.layer = model, text, out, layer
        self.options, self.corpus, self.batch, self.progress = options, corpus, batch, progress
        self.skipped = model.special_tokens if options.skip_special else []
        generator = torch.Generator().manual_seed(options.seed_of_weights)
        self.net = Autoencoder(model.width, options, generator).to(model.device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=options.rate, betas=(0.9, 0.999))
        self.state = _State()
        self.log: list[dict[str, float]] = []
        self.rejects: Counter[str] = Counter()
        self._only_buffer: Tensor | None = None

    def run(self, fresh: bool) -> TrainSummary:
        self.out.mkdir(parents=True, exist_ok=True)
        counts = self._count()
        has_held_out = counts[True] > 0 and counts[False] > 0
        total = sum(counts.values()) if not has_held_out else counts[False]
        if total < self.options.batch_size:
            raise InputError(
                f"{self.text} holds {total:,} tokens to train on, fewer than one batch of {self.options.batch_size:,} (--batch-size)"
            )
        if fresh:
            self._state_path.unlink(missing_ok=True)
        self._resume()
        while self.state.epoch < self.options.epochs:
            for number, vectors in self._buffers(has_held_out, total):
                self._train_on(vectors, total)
                self.state.buffer = number + 1
                self._save()
            self.state.epoch, self.state.buffer = self.state.epoch + 1, 0
            if self.state.epoch < self.options.epochs:
                self.net.fired.zero_()
        return self._finish(has_held_out)

    def _count(self) -> Counter[bool]:
        """Return the number of tokens that are looked at, of training (False) and held-out (True) documents."""
        found: Counter[bool] = Counter()
        for done, context in self._contexts(self.rejects):
            found[is_held_out(context)] += int(self._mask([context]).sum())
            self.progress("counting tokens", done, 0)
        return found

    def _contexts(self, rejects: Counter[str] | None = None) -> Iterator[tuple[int, Context]]:
        window = self.options.window
        return read_contexts(self.text, self.model, self.corpus, window, Counter() if rejects is None else rejects)

    def _mask(self, contexts: Sequence[Context]) -> Tensor:
        cells = looked_at_cells(contexts, skips_first=self.options.skip_first, skipped_tokens=self.skipped)
        return torch.from_numpy(cells)

    def _buffers(self, has_held_out: bool, total: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the number and the vectors (n, d) of every buffer from that of the state on."""
        if self._only_buffer is not None:
            yield 0, self._only_buffer
            return
        for number, contexts in enumerate(self._shares(has_held_out)):
            if number >= self.state.buffer:
                vectors = self._vectors(contexts)
                if len(vectors) == total:
                    self._only_buffer = vectors  # the next epoch needs no model
                yield number, vectors

    def _shares(self, has_held_out: bool) -> Iterator[list[Context]]:
        """Yield the contexts to train on, as many at a time as fill a buffer."""
        held, tokens = [], 0
        for _, context in self._contexts():
            if has_held_out and is_held_out(context):
                continue
            held.append(context)
            tokens += int(self._mask([context]).sum())
            if tokens >= self.options.buffer:
                yield held
                held, tokens = [], 0
        if tokens:
            yield held

    def _vectors(self, contexts: Sequence[Context]) -> Tensor:
        pieces = []
        for first in range(0, len(contexts), self.batch):
            group = contexts[first : first + self.batch]
            self.progress("reading vectors", first, len(contexts))
            with enough_memory():
                ids = [list(context.token_ids) for context in group]
                found = self.model.values(ids, [self.layer], RESIDUAL_STREAM)[self.layer]
                pieces.append(found[self._mask(group).to(found.device)].float())
        return torch.cat(pieces)

    def _train_on(self, vectors: Tensor, total: int) -> None:
        state, options = self.state, self.options
        if not state.scale:
            state.scale = math.sqrt(vectors.shape[1]) / max(float(vectors.norm(dim=1).mean()), 1e-12)
            with torch.no_grad():
                self.net.b_dec.copy_(vectors.mean(0) * state.scale)
        seed = int.from_bytes(
            hashlib.sha256(f"{options.seed_of_weights} {state.epoch} {state.buffer}".encode()).digest()[:7]
        )
        order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed)).to(vectors.device)
        steps = max(1, total * options.epochs // options.batch_size)
        for rows in order.split(options.batch_size):
            if len(rows) < options.batch_size and state.step:
                break  # a rest would weigh more per token than the others
            self._step(vectors[rows] * state.scale, state.step / steps)
            self.progress("training", min(state.step, steps), steps)

    def _step(self, vectors: Tensor, share: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * min(1.0, share / 0.05 + 0.01, max((1 - share) / 0.2, 0.01))
        loss, codes, squared = self.net.loss(vectors)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.net.keep_norms()
        self.net.note(codes)
        self.state.step += 1
        self.state.tokens += len(vectors)
        if self.state.step % LOG_STEPS == 0:
            variance = float((vectors - vectors.mean(0)).square().sum())
            l0 = float((codes > 0).sum()) / len(codes)
            silent = int((self.net.silent >= SILENT_STEPS).sum())
            fvu = float(squared) / variance if variance > 0 else math.nan
            self.log.append({"step": self.state.step, "loss": loss.item(), "l0": l0, "fvu": fvu, "silent": silent})

    @property
    def _state_path(self) -> Path:
        return self.out / "training.state"

    @cached_property
    def _purpose(self) -> str:
        facts = [self.model.fingerprint, self.layer, asdict(self.options), asdict(self.corpus)]
        return json.dumps([*facts, sha256_of(self.text), self.batch])

    def _save(self) -> None:
        """Write the state of the training: weights, moments of the optimizer, and the place."""
        with needs_extra("trace"):
            from safetensors.torch import save
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
        facts = {"purpose": self._purpose, "state": json.dumps(asdict(self.state)), "log": json.dumps(self.log)}
        with replaced_file(self._state_path) as path:
            path.write_bytes(save({name: value.cpu().contiguous() for name, value in tensors.items()}, metadata=facts))

    def _resume(self) -> None:
        """Take up an unfinished training of the same model, text and options; another one is discarded."""
        if not self._state_path.exists():
            return
        with needs_extra("trace"):
            from safetensors import SafetensorError, safe_open
        try:
            with safe_open(self._state_path, "pt") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(f"{self._state_path} is damaged ({error}); --fresh starts over") from error
        if facts.get("purpose") != self._purpose:
            raise UsageError(
                f"{self.out} holds an unfinished training of another model, text or options; --fresh discards it"
            )
        self._take_up(facts, tensors)

    def _take_up(self, facts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
        """Take weights, moments of the optimizer and place from a state file."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, rest = name.split(".", 1)
            if kind == "optimizer":
                number, key = rest.split(".")
                moments.setdefault(int(number), {})[key] = value
        self.net.load_state_dict({n[4:]: value for n, value in tensors.items() if n.startswith("net.")})
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.state, self.log = _State(**json.loads(facts["state"])), json.loads(facts["log"])

    def _finish(self, has_held_out: bool) -> TrainSummary:
        scale, dead = self.state.scale, int((self.net.fired == 0).sum())
        weights = self.net.folded(scale)
        write_dictionary(self.out, weights, self._configuration())
        dictionary = load_dictionary(self.out).to(self.model.device)
        measured = self._evaluate(dictionary, has_held_out)
        summary = TrainSummary(
            self.state.step, self.state.tokens, dictionary.features, dead, measured.facts(), has_held_out
        )
        facts = {"model": self.model.name, "model_fingerprint": self.model.fingerprint, "layer": self.layer}
        facts |= {
            "text": self.text.name,
            "options": asdict(self.options),
            "log": self.log,
            "rejects": dict(self.rejects),
        }
        with replaced_file(self.out / "training.json") as path:
            write_json(facts | asdict(summary), path)
        self._state_path.unlink(missing_ok=True)
        return summary

    def _configuration(self) -> dict[str, Any]:
        options = self.options
        found: dict[str, Any] = {
            "architecture": {RELU: "standard", BATCH_TOPK: "jumprelu"}.get(options.kind, options.kind),
            "d_in": self.model.width,
            "d_sae": self.model.width * options.expansion,
            "dtype": "float32",
            "apply_b_dec_to_input": True,
            "normalize_activations": "none",
            "metadata": {
                "model_name": self.model.name,
                "hook_name": f"blocks.{self.layer}.hook_resid_post",
                "context_size": options.window,
            },
        }
        if options.kind == BATCH_TOPK:
            return found | {"trained_as": BATCH_TOPK}  # used with a threshold, as tools that read it expect
        return found if options.kind == RELU else found | {"k": options.k}

    def _evaluate(self, dictionary: Dictionary, has_held_out: bool) -> Reconstruction:
        """Measure the reconstruction on held-out documents, up to `EVALUATED_TOKENS` tokens."""
        chosen = (c for _, c in self._contexts() if not has_held_out or is_held_out(c))
        batches = first_batches(chosen, self.batch, self.progress)
        return reconstruct(
            self.model,
            dictionary,
            self.layer,
            batches,
            skips_first=self.options.skip_first,
            skipped_tokens=self.skipped,
        )


def is_held_out(context: Context) -> bool:
    """Return True for a context of a document that is kept from training: one in `HELD_OUT`, by a hash of its text.

    Args:
        context: Window of a document.

    Returns:
        Whether it is held out.
    """
    name = context.identity or context.document or context.content_hash
    return hashlib.sha256(f"held out {name}".encode("utf-8", "surrogatepass")).digest()[0] % HELD_OUT == 0


def write_dictionary(out: Path, weights: dict[str, Tensor], configuration: dict[str, Any]) -> None:
    """Write a sparse autoencoder as a SAELens folder.

    Args:
        out: Folder, which exists.
        weights: `W_enc` (d, F), `W_dec` (F, d), `b_enc` (F,), `b_dec` (d,), and what the architecture needs.
        configuration: Content of cfg.json.
    """
    with needs_extra("trace"):
        from safetensors.torch import save
    with replaced_file(out / WEIGHTS_FILE) as path:
        path.write_bytes(save(weights))  # save_file would make it readable by its owner alone
    with replaced_file(out / "cfg.json") as path:
        write_json(configuration, path)
