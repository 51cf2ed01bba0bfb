"""Options of stores of activations, of dictionaries, and of what is computed from them."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import UsageError
from atlas.options.names import ALL, HOOKS, MLP, POSITIONS, SCORE_TASKS, TOPK, TRAINED_KINDS

_MOST = (1 << 31) - 1  # of numbers and seeds that SQL counts with


@dataclass(frozen=True)
class CollectOptions:
    """Options of a collection of activations.

    Attributes:
        hook: `mlp` (neurons), `resid` (residual stream behind a block), or `sae` (features of a dictionary).
        layers: Numbers of the layers; all of them if None.
        threshold: Activations with |value| above it are kept. None keeps all of a dictionary that are not 0, and of neurons
            the share `density`.
        density: Share of the activations of a layer to keep; its threshold is taken from the first contexts.
        top_per_context: Number of activations to keep of each context and layer, the strongest, instead of a threshold.
        positions: `all`, or `last` for one residual vector per context.
        window: Maximum number of tokens of a context; longer documents are cut.
        skip_first: Do not look at the first position of a document, which is alike in all of them.
        skip_special: Do not look at special tokens.
    """

    hook: str = MLP
    layers: tuple[int, ...] | None = None
    threshold: float | None = None
    density: float = 0.02
    top_per_context: int | None = None
    positions: str = ALL
    window: int = 128
    skip_first: bool = True
    skip_special: bool = True

    def __post_init__(self) -> None:
        for what, given, known in (("hook", self.hook, HOOKS), ("positions", self.positions, POSITIONS)):
            if given not in known:
                raise UsageError(f"{what} {given!r} is none; there are {', '.join(known)}")
        if not 0 < self.density <= 1 or (self.threshold is not None and not self.threshold >= 0):
            raise UsageError("the density must be above 0 and at most 1, the threshold 0 or more")
        if self.window < 2:
            raise UsageError("a window is 2 tokens or more")
        if self.top_per_context is not None and (self.top_per_context < 1 or self.threshold is not None):
            raise UsageError("top_per_context is 1 or more, and stands instead of a threshold")


@dataclass(frozen=True)
class TrainOptions:
    """Options of the training of a sparse autoencoder.

    Attributes:
        kind: `relu` (with an L1 penalty), `topk` (the `k` largest codes of every token), or `batchtopk` (k per token on average over
            a batch).
        expansion: Number of features per dimension of the residual stream.
        k: Number of active features per token, of `topk` and `batchtopk`.
        l1: Coefficient of the penalty of `relu`.
        epochs: Number of passes over the text.
        batch_size: Number of tokens per step.
        rate: Largest learning rate of Adam; it rises over the first 5 % of the steps, and falls over the last 20 %.
        buffer: Number of vectors that are held and shuffled together.
        window: Maximum number of tokens of a context; longer documents are cut.
        skip_first: Do not look at the first position of a context.
        skip_special: Do not look at special tokens.
        seed_of_weights: Seed of the initial weights and of the shuffles.
    """

    kind: str = TOPK
    expansion: int = 8
    k: int = 32
    l1: float = 0.1
    epochs: int = 1
    batch_size: int = 2048
    rate: float = 1e-3
    buffer: int = 1 << 18
    window: int = 128
    skip_first: bool = True
    skip_special: bool = True
    seed_of_weights: int = 42

    def __post_init__(self) -> None:
        if self.kind not in TRAINED_KINDS:
            raise UsageError(f"kind {self.kind!r} is none; there are {', '.join(TRAINED_KINDS)}")
        for name in ("expansion", "k", "epochs", "batch_size", "buffer"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.buffer < self.batch_size:
            raise UsageError(f"buffer ({self.buffer}) must hold a batch or more ({self.batch_size} tokens)")
        if not self.rate > 0 or not self.l1 >= 0 or self.window < 2:
            raise UsageError("the rate must be above 0, l1 0 or more, the window 2 tokens or more")


@dataclass(frozen=True)
class MeasureOptions:
    """Options of the statistics of a store.

    Attributes:
        top_tokens: Number of tokens to keep per unit and relation.
        top_examples: Number of strongest contexts to keep per unit.
        drawn_examples: Number of contexts to draw of each quarter of the active contexts.
        top_partners: Number of coactive units to keep per unit.
        least_joint: Minimum number of common tokens of coactive units.
        seed: Seed of the drawn examples.
    """

    top_tokens: int = 20
    top_examples: int = 10
    drawn_examples: int = 3
    top_partners: int = 10
    least_joint: int = 5
    seed: int = 42

    def __post_init__(self) -> None:
        least = min(self.top_tokens, self.top_examples, self.top_partners, self.least_joint)
        if least < 1 or self.drawn_examples < 0:
            raise UsageError("numbers of tokens, examples and partners are 1 or more")
        if max(vars(self).values()) > _MOST or self.seed < 0:
            raise UsageError(
                f"numbers of tokens, examples and partners, and the seed, are at most {_MOST:,}; the seed is 0 or more"
            )


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export of a store of activations.

    Attributes:
        dtype: Type of the values: `float32`, `float16` or `bfloat16`. Formats without a type of their own take float32.
        batch_rows: Number of samples of a batch, or of rows of a shard.
        features_per_file: Number of features of a split, or of a file of features.
        examples: Number of examples per unit, of formats that hold examples.
    """

    dtype: str = "float32"
    batch_rows: int = 5000
    features_per_file: int = 8192
    examples: int = 20

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "float16", "bfloat16"):
            raise UsageError(f"dtype {self.dtype!r} is none; there are float32, float16, bfloat16")
        if min(self.batch_rows, self.features_per_file, self.examples) < 1:
            raise UsageError("numbers of rows, features and examples are 1 or more")


@dataclass(frozen=True)
class ScoreOptions:
    """Options of the scoring of explanations.

    Attributes:
        tasks: What the judge is asked: `detection`, `fuzzing` and `simulation`.
        examples: Number of active contexts, and as many inactive ones.
        mark_from: Tokens are marked from this share of the largest activation of their context on.
        resamples: Number of bootstrap samples of the intervals.
        seed: Seed of the drawn contexts, the wrong marks and the bootstrap.
    """

    tasks: tuple[str, ...] = SCORE_TASKS
    examples: int = 50
    mark_from: float = 0.3
    resamples: int = 1000
    seed: int = 42

    def __post_init__(self) -> None:
        wrong = [task for task in self.tasks if task not in SCORE_TASKS]
        if wrong or not self.tasks:
            raise UsageError(f"task {wrong[0] if wrong else ''!r} is none; there are {', '.join(SCORE_TASKS)}")
        if self.examples < 2 or self.resamples < 1 or not 0 < self.mark_from <= 1:
            raise UsageError("scores need 2 examples or more, 1 resample or more, marks from above 0 to 1")


@dataclass(frozen=True)
class FeatureOptions:
    """Options of what is read from the weights of a dictionary.

    Attributes:
        top_tokens: Number of tokens to keep per direction.
        top_neurons: Number of neurons to keep that write to a feature, and that read it.
        top_similar: Number of similar features to keep per kind of similarity.
        window: Maximum number of tokens of a context of the text.
        skip_first: Do not reconstruct the first position of a context.
        skip_special: Do not reconstruct special tokens.
    """

    top_tokens: int = 20
    top_neurons: int = 10
    top_similar: int = 10
    window: int = 128
    skip_first: bool = True
    skip_special: bool = True

    def __post_init__(self) -> None:
        if min(self.top_tokens, self.top_neurons, self.top_similar) < 1 or self.window < 2:
            raise UsageError("numbers of tokens, neurons and features are 1 or more, the window 2 tokens or more")
