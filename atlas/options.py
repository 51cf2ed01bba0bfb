"""Options of every stage, with the names and defaults that recipes, the command line and the library share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from atlas.errors import UsageError

T = TypeVar("T")
MEMORY = 2_000_000_000  # bytes that all processes of an aggregation may take together
DIRECT, FLOW = "direct_effect", "attribution_flow"
RELP, RELP_LIVE_NORMS, GRADIENT, INTEGRATED = "relp", "relp-live-norms", "gradient", "integrated-gradients"
HOOKS = MLP, RESIDUAL, DICTIONARY = "mlp", "resid", "sae"
POSITIONS = ALL, LAST = "all", "last"
WHOLE = "whole"  # one value per context, which is a set of tokens
EXPORTS = ("zarr", "zarr-transposed", "npy", "wandb", "delphi", "shards", "samples", "neuronpedia", "arrow")
SCORE_TASKS = DETECTION, FUZZING, SIMULATION = "detection", "fuzzing", "simulation"
TRAINED_KINDS = RELU, TOPK, BATCH_TOPK = "relu", "topk", "batchtopk"
ZERO, MEAN = "zero", "mean"
MEANS = "means_of_the_first_prompts"  # hash of the baseline `mean`, as an option of a trace
SUM, LOGPROB, LOGIT_DIFF, CENTRED = "sum", "logprob", "logit-diff", "centred"
OF_SCORES, OF_METRIC = "scores", "metric"
TAUS = {OF_SCORES: 0.001, OF_METRIC: 0.005}
RULE_NAMES, BASELINES = (RELP, RELP_LIVE_NORMS, GRADIENT, INTEGRATED), (ZERO, MEAN)
METRICS = (SUM, LOGPROB, LOGIT_DIFF, CENTRED)
AUTO, NONE = "auto", "none"
GROUP_LINKS = 100_000_000  # with more links, the dataset of edges by group would be as large as all links


@dataclass(frozen=True)
class TraceOptions:
    """Options that decide a traced graph.

    Attributes:
        tau: Neurons are kept if |score| >= `tau` x scale. None is 0.001 of the scores, or 0.005 of the metric.
        tau_of: Scale of `tau`: `scores`, the sum of |score| over all neurons of the prompt, or `metric`, the |metric| (as in
            the published graphs), which vanishes where targets and contrasts cancel.
        top_logits: Number of targets, the highest logits, of a prompt that names none.
        max_nodes: Maximum number of neurons in a graph; the strongest are kept.
        link_weight: `direct_effect` (source x derivative of the target) or `attribution_flow` (the same, times the
            target's score over its activation).
        rules: `relp`, `relp-live-norms`, `gradient` or `integrated-gradients`: what is held constant.
        baseline: `zero` or `mean` (of each neuron over prompts): what a source is compared with. None is `mean` for
            integrated gradients, else `zero`.
        metric: `sum`, `logprob`, `logit-diff` or `centred`: what is traced.
        steps: Number of points on the path of integrated gradients.
        ablations: Number of nodes, of edges between neurons and of edges to outputs that are cut in the real model, as
            a random sample of the whole corpus, at most 50 of each per graph; decides no graph.
    """

    tau: float | None = None
    tau_of: str = OF_SCORES
    top_logits: int = 5
    max_nodes: int = 500
    link_weight: str = DIRECT
    rules: str = RELP
    baseline: str | None = None
    metric: str = SUM
    steps: int = 10
    ablations: int = 2000

    def __post_init__(self) -> None:
        for what, given, known in (
            ("link weight", self.link_weight, (DIRECT, FLOW)),
            ("rules", self.rules, RULE_NAMES),
            ("baseline", self.baseline or ZERO, BASELINES),
            ("metric", self.metric, METRICS),
            ("tau of", self.tau_of, (OF_SCORES, OF_METRIC)),
        ):
            if given not in known:
                raise UsageError(f"{what} {given!r} is none; there are {', '.join(known)}")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"tau must be from 0 to below 1, not {self.tau}")
        for name, least in (("top_logits", 1), ("max_nodes", 1), ("steps", 1), ("ablations", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if self.rules == INTEGRATED and self.baseline == ZERO:
            raise UsageError(
                "integrated gradients need --baseline mean: norms undo a common scale, so on the way to zero nothing changes"
            )

    @property
    def threshold(self) -> float:
        """Share of the scale that a neuron needs: `tau`, or the default of its scale."""
        return self.tau if self.tau is not None else TAUS[self.tau_of]

    @property
    def compared_with(self) -> str:
        """Baseline of the sources: `baseline`, or the default of the rules."""
        return self.baseline or (MEAN if self.rules == INTEGRATED else ZERO)


@dataclass(frozen=True)
class PromptOptions:
    """Options for selecting the prompts of a corpus, and for converting them to tokens.

    Attributes:
        column: Name of the text column in JSON lines and Parquet; prompt, text or content if None.
        separator: Separator of prompts in text files; line ends if None.
        chat: Wrap each prompt as a user's turn by the model's chat template.
        limit: Maximum number of prompts.
        seed: Seed for drawing the `limit` prompts at random; the first prompts are used if None.
        min_tokens: Minimum number of tokens; shorter prompts are rejected.
        max_tokens: Maximum number of tokens; longer prompts are rejected, unless `truncate`.
        truncate: Keep the first `max_tokens` of longer prompts.
    """

    column: str | None = None
    separator: str | None = None
    chat: bool = False
    limit: int | None = None
    seed: int | None = None
    min_tokens: int = 2
    max_tokens: int = 128
    truncate: bool = False

    # Documents of any length, which the reader cuts into windows itself.
    whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.separator == "":
            raise UsageError("the separator is empty; leave it out to cut at line ends")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise UsageError("--min-tokens must be 1 or more and not above --max-tokens")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit must be 1 or more")


# Options that select documents; the others are about the length of prompts.
DOCUMENT_KEYS = ("column", "separator", "chat", "limit", "seed")


@dataclass(frozen=True)
class DocumentOptions(PromptOptions):
    """Prompt options of documents that are not cut: `max_tokens` and `truncate` have no effect."""

    whole: ClassVar[bool] = True


@dataclass(frozen=True)
class ShardedPromptOptions(PromptOptions):
    """Prompt options of one shard: (i, n) is the part i, from 0, of n parts. Equal prompts are in one part."""

    shard: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class CollectOptions:
    """Options of a collection of activations.

    Attributes:
        hook: `mlp` (neurons), `resid` (residual stream behind a block), or `sae` (features of a dictionary).
        layers: Numbers of the layers; all of them if None.
        threshold: Activations with |value| above it are kept. None keeps all of a dictionary that are not 0, and of neurons
            the share `density`.
        density: Share of the activations of a layer to keep; its threshold is taken from the first contexts.
        positions: `all`, or `last` for one residual vector per context.
        window: Maximum number of tokens of a context; longer documents are cut.
        skip_first: Do not look at the first position of a document, which is alike in all of them.
        skip_special: Do not look at special tokens.
    """

    hook: str = MLP
    layers: tuple[int, ...] | None = None
    threshold: float | None = None
    density: float = 0.02
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
        if min(self.top_tokens, self.top_examples, self.top_partners, self.least_joint) < 1 or self.drawn_examples < 0:
            raise UsageError("numbers of tokens, examples and partners are 1 or more")


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
        if not self.rate > 0 or not self.l1 >= 0 or self.window < 2:
            raise UsageError("the rate must be above 0, l1 0 or more, the window 2 tokens or more")


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


@dataclass(frozen=True)
class ProjectOptions:
    """Options for the numbers of projections, exemplars and direct effects.

    Attributes:
        top_tokens: Number of tokens to keep per kind and direction of a neuron's projections.
        exemplars: Number of exemplars to keep per sign: the places where a neuron fires most.
        effects: Number of prompts for direct effect ratios; 0 leaves them out.
    """

    top_tokens: int = 20
    exemplars: int = 8
    effects: int = 50

    def __post_init__(self) -> None:
        if self.top_tokens < 1 or self.exemplars < 1 or self.effects < 0:
            raise UsageError("projections keep 1 token or more, 1 exemplar or more, 0 prompts or more")


@dataclass(frozen=True)
class WireOptions:
    """Options of the wiring by weights.

    Attributes:
        top_connections: Number of connections to keep per polarity and direction of a neuron.
        fold_norms: Multiply the gains of the MLPs' norms into the weights. None folds them where the norm is behind the
            MLP (OLMo 2 and 3), because the weights alone then do not say how much a neuron writes.
    """

    top_connections: int = 10
    fold_norms: bool | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.top_connections <= 1000:
            raise UsageError(f"--top-connections must be from 1 to 1000, not {self.top_connections}")


@dataclass(frozen=True)
class AggregateOptions:
    """Options of an aggregation. `cooccurrence` and `groups` decide the statistics, the others how it runs.

    Attributes:
        cooccurrence: Number of co-occurring neurons to keep per neuron; 0 leaves co-occurrence out.
        groups: `auto` groups graphs by their prompts, and counts edges by group up to `GROUP_LINKS` expected links;
            `none` makes every graph a group of its own.
        graph_links: `auto` keeps the nodes and links of every graph, up to `GROUP_LINKS` expected links; `none` keeps none.
        device: `auto`, `cpu` or `cuda`.
        memory: Bytes that all processes may take together.
        threads: Number of worker processes; one per core if None.
        scheduler: Dask scheduler that runs the tasks instead: `local` or an address.
        work: Folder or URL that the workers of the scheduler share; beside the output if None.
    """

    cooccurrence: int = 20
    groups: str = AUTO
    graph_links: str = AUTO
    device: str = "auto"
    memory: int = MEMORY
    threads: int | None = None
    scheduler: str | None = None
    work: str | None = None


@dataclass(frozen=True)
class ClusterOptions:
    """Options of one clustering, a `[[cluster]]` of a recipe. The first is primary unless `[atlas]` names another.

    `seed` and `trials` make the result repeatable. More trials find better partitions.
    """

    name: str | None = None
    method: str = "infomap"
    weight: str = "mean_abs_weight_sq"
    min_count: int = 5
    seed: int = 42
    trials: int = 20
    two_level: bool = False

    @property
    def title(self) -> str:
        """Name of the clustering in the atlas: `name`, or the method."""
        return self.name or self.method


def out_of_bounds(key: str, value: int) -> str | None:
    """Return the error message for a count or seed that is not from 1 to 2^31 - 1, or None if it is valid."""
    return None if 1 <= value < 2**31 else f"{key} must be from 1 to {2**31 - 1}, not {value}"


def part_of(section: Any, kind: type[T]) -> T:
    """Return the options of one kind from a section with several kinds, such as the `TraceOptions` of `[trace]`."""
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: getattr(section, name) for name in names})
