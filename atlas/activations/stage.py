"""Stage `projections`: projections, norms, direct effect ratios, exemplars and automatic labels of a model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.activations.direct_effects import direct_effect_ratios, effect_table
from atlas.activations.exemplars import Exemplars, automatic_labels
from atlas.activations.projections import projections
from atlas.graph import Reject
from atlas.io.files import parquet_writer, write_parquet
from atlas.models.load import enough_memory
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt, count_prompts, read_prompts
from atlas.models.tokens import is_text
from atlas.options import ProjectOptions, PromptOptions
from atlas.stages import DATASETS, Dataset
from atlas.stages.manifest import replaced_folder, write_manifest

Progress = Callable[[str, int, int], None]
LOOKED_AT = 10  # promoted tokens from which the labels take those that are text
SEED = 42  # of the sample of prompts for direct effect ratios


@dataclass(frozen=True)
class ProjectSummary:
    """Counts of the stage `projections`."""

    neurons: int
    projections: int
    exemplars: int
    ratio_prompts: int
    effect_types: dict[str, int]
    rejects: Counter[str]  # prompts that cannot be used, by reason


def project(
    model: TracedModel,
    out: Path,
    options: ProjectOptions | None = None,
    *,
    prompts: Path | None = None,
    corpus: PromptOptions | None = None,
    batch: int = 8,
    progress: Progress,
) -> ProjectSummary:
    """Write the stage `projections` of a model to a folder.

    Args:
        model: Model with its tokenizer.
        out: Folder of the stage, which is replaced.
        options: Numbers of tokens, exemplars and prompts for ratios; the defaults where None.
        prompts: Corpus. Without it, direct effect ratios, exemplars and automatic labels are empty.
        corpus: Options that select the prompts of the corpus; the defaults where None.
        batch: Number of prompts per forward pass.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of neurons, prompts, exemplars and labels.

    Raises:
        InputError: The prompts cannot be read.
        OutputError: The folder cannot be written.
    """
    options, corpus = options or ProjectOptions(), corpus or PromptOptions()
    with replaced_folder(out, "projections") as folder, enough_memory():
        count = _write_projections(model, folder, options, progress)
        exemplars, sample, rejects = _run_corpus(model, prompts, corpus, options, batch, progress)
        _write(folder, "exemplars", exemplars)
        ratios = direct_effect_ratios(
            model, sample, progress=lambda done, total: progress("direct effect ratios", done, total)
        )
        effects = effect_table(ratios)
        _write(folder, "direct_effects", effects)
        _write(folder, "automatic_labels", automatic_labels(model, exemplars, _promoted(folder, model)))
        write_manifest(
            folder, "projections", model=model.name, prompts=prompts.name if prompts else None, top=options.top_tokens
        )
        types = dict(pl.Series(effects["effect_type"].to_pylist(), dtype=pl.String).value_counts(sort=True).iter_rows())
    return ProjectSummary(len(model.blocks) * model.neurons, count, len(exemplars), len(ratios), types, rejects)


def _path(folder: Path, name: str) -> tuple[Dataset, Path]:
    dataset = DATASETS[f"projections.{name}"]
    return dataset, dataset.path(folder)


def _write(folder: Path, name: str, table: pa.Table) -> None:
    write_parquet(table, _path(folder, name)[1])


def _write_projections(model: TracedModel, folder: Path, options: ProjectOptions, progress: Progress) -> int:
    count = done = 0
    tokens, path = _path(folder, "projections")
    norms, norms_path = _path(folder, "neuron_norms")
    total = len(model.blocks) * model.neurons
    with parquet_writer(path, tokens.schema) as writer, parquet_writer(norms_path, norms.schema) as norm_writer:
        for _, rows, lengths in projections(model, top=options.top_tokens):
            writer.write_table(rows.unify_dictionaries())
            norm_writer.write_table(lengths)
            count, done = count + len(rows), done + len(lengths)
            progress("projecting neurons", done, total)
    return count


def _run_corpus(
    model: TracedModel,
    prompts: Path | None,
    corpus: PromptOptions,
    options: ProjectOptions,
    batch: int,
    progress: Progress,
) -> tuple[pa.Table, list[tuple[int, ...]], Counter[str]]:
    """Return the exemplars over all prompts, the prompts drawn for the ratios, and the counts of rejects by reason."""
    rejects: Counter[str] = Counter()
    if prompts is None:
        return DATASETS["projections.exemplars"].empty(), [], rejects
    total = count_prompts(prompts, corpus)
    kept = Exemplars(model, top=options.exemplars)
    rng = random.Random(SEED)
    sample: list[tuple[int, ...]] = []
    waiting: list[Prompt] = []
    usable = 0
    for done, item in enumerate(read_prompts(prompts, model, corpus), 1):
        if isinstance(item, Reject):
            rejects[item.reason] += 1
        else:
            waiting.append(item)
            usable += 1
            # Reservoir sampling: every prompt is drawn with the same probability.
            place = usable - 1 if usable <= options.effects else rng.randrange(usable)
            if len(item.ids) > 1 and place < options.effects:
                sample[place : place + 1] = [item.ids]
        if len(waiting) == batch or (done == total and waiting):
            kept.add(waiting)
            waiting = []
            progress("running prompts", done, total)
    if waiting:
        kept.add(waiting)
    return kept.table(), sample, rejects


def _promoted(folder: Path, model: TracedModel) -> Callable[[int], dict[tuple[int, str], list[int]]]:
    """Return a function from a layer to the tokens of each (neuron, direction) of the output projection that are text.

    A byte-level vocabulary also holds parts of characters and control characters, which do not help a reader.
    """
    whole = [is_text(model.tokenizer.decode([token])) for token in range(model.vocabulary)]
    path = _path(folder, "projections")[1]

    def of_layer(layer: int) -> dict[tuple[int, str], list[int]]:
        filters = [("layer", "=", layer), ("projection_kind", "=", "output"), ("rank", "<=", LOOKED_AT)]
        found: dict[tuple[int, str], list[int]] = {}
        table = pq.read_table(path, columns=["neuron", "direction", "token_id"], filters=filters)
        for row in table.to_pylist():
            if whole[row["token_id"]]:
                found.setdefault((row["neuron"], row["direction"]), []).append(row["token_id"])
        return found

    return of_layer
