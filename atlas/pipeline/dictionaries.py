"""Library calls about dictionaries: training, features, and experiments on made texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.errors import needs_extra
from atlas.pipeline.models import load
from atlas.runtime.progress import Progress, silent

if TYPE_CHECKING:
    import pyarrow as pa

    from atlas.activations import FeatureSummary, TrainSummary
    from atlas.ids import UnitId
    from atlas.models import TracedModel
    from atlas.options import DocumentOptions, FeatureOptions, TrainOptions


def read_dictionary(
    model: str | TracedModel,
    sae: Path,
    out: Path,
    *,
    options: FeatureOptions | None = None,
    layer: int | None = None,
    text: Path | None = None,
    corpus: DocumentOptions | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch: int | None = None,
    progress: Progress = silent,
) -> FeatureSummary:
    """Write the stage `features` of a sparse autoencoder to a folder: what its features promote, and which neurons write and read them.

    Args:
        model: Folder, name on the model hub, or loaded model.
        sae: Folder or file of the autoencoder.
        out: Folder of the stage, which is replaced.
        options: Numbers of tokens, neurons and features; the defaults where None.
        layer: Block that the autoencoder reads; the one that it states where None.
        text: Text on which the reconstruction is measured; not measured where None.
        corpus: Options that select the documents of the text; the defaults where None.
        name: Name of the model.
        device: `auto`, `cpu`, `cuda` or one GPU.
        dtype: Type of the weights of the model, as for `load_model`.
        batch: Number of contexts per forward pass; where None, 1 on a CPU and 8 on a GPU.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Number of features, and the measures of the reconstruction.

    Raises:
        InputError: The model, the autoencoder or the text cannot be read.
        MissingExtra: transformers is not installed.
        OutputError: The folder holds something else.
        UsageError: The autoencoder does not fit the model.
    """
    with needs_extra("trace"):
        from atlas.activations import load_dictionary, read_features

    loaded = load(model, name=name, device=device, dtype=dtype)
    dictionary = load_dictionary(sae).to(loaded.device)
    return read_features(
        loaded,
        dictionary,
        out,
        options,
        layer=layer,
        text=text,
        corpus=corpus,
        batch=batch or loaded.usual_batch,
        progress=progress,
    )


def probe_model(
    model: str | TracedModel,
    unit: UnitId,
    templates: Sequence[str],
    members: Sequence[str],
    *,
    sae: Path | None = None,
    device: str = "auto",
    dtype: str | None = None,
) -> pa.Table:
    """Compare the activation of a unit between members that are put into templates.

    Args:
        model: Folder, name on the model hub, or loaded model.
        unit: Neuron, or feature of the autoencoder.
        templates: Texts with `{}` where a member goes (n_templates,).
        members: Texts to put there (n_members,); the first one is the reference.
        sae: Folder or file of a sparse autoencoder, for a feature.
        device: `auto`, `cpu`, `cuda` or one GPU.
        dtype: Type of the weights of the model, as for `load_model`.

    Returns:
        One row per member.

    Raises:
        InputError: The model or the autoencoder cannot be read.
        MissingExtra: transformers is not installed.
        UsageError: The unit, templates and members do not fit together.
    """
    with needs_extra("trace"):
        from atlas.activations import load_dictionary, probe

    loaded = load(model, name=None, device=device, dtype=dtype)
    dictionary = load_dictionary(sae).to(loaded.device) if sae is not None else None
    return probe(loaded, unit, templates, members, dictionary=dictionary)


def train_sae(
    model: str | TracedModel,
    text: Path,
    out: Path,
    layer: int,
    *,
    options: TrainOptions | None = None,
    corpus: DocumentOptions | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch: int | None = None,
    fresh: bool = False,
    progress: Progress = silent,
) -> TrainSummary:
    """Train a sparse autoencoder on the residual stream behind a block of a model, and write it as a SAELens folder.

    Args:
        model: Folder, name on the model hub, or loaded model.
        text: .jsonl, .txt or .parquet.
        out: Folder of the autoencoder.
        layer: Number of the block.
        options: Kind, size and steps; the defaults where None.
        corpus: Options that select the documents of the text; the defaults where None.
        name: Name of the model.
        device: `auto`, `cpu`, `cuda` or one GPU.
        dtype: Type of the weights of the model, as for `load_model`.
        batch: Number of contexts per forward pass; where None, 1 on a CPU and 8 on a GPU.
        fresh: Discard an unfinished training of the folder.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts, and the measures on held-out documents.

    Raises:
        InputError: The model or the text cannot be read.
        MissingExtra: transformers is not installed.
        OutputError: The folder holds something else.
        UsageError: An option has an invalid value.
    """
    with needs_extra("trace"):
        from atlas.activations import train_dictionary

    loaded = load(model, name=name, device=device, dtype=dtype)
    size = batch or loaded.usual_batch
    return train_dictionary(
        loaded, text, out, layer, options, corpus=corpus, batch=size, fresh=fresh, progress=progress
    )
