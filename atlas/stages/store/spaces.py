"""Identity of a store of activations: what a value is, and where it was looked for. Stores of two identities never mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from atlas.errors import SpaceMismatch
from atlas.options import MLP


@dataclass(frozen=True)
class ActivationSpace:
    """Identity of the values of a store.

    Attributes:
        model: Name of the model.
        revision: Fingerprint of its weights, or a revision on the hub.
        hook: `mlp` (neurons of gated MLPs), `resid` (residual stream behind a block) or `sae` (features of a dictionary).
        unit_type: `neuron`, `feature` or `dimension`.
        value_kind: What a value is: `activation`, `code` of a dictionary, `gate`, or as a source states it.
        dictionary: Hash of the weights of the dictionary; None without one.
        window: Maximum number of tokens of a context.
        skips_first: The first position of every context is not looked at.
        skipped_tokens: Token ids that are not looked at, such as special tokens.
        dtype: Type in which values were computed.
        positions: `all` or `last`, of dense vectors; `whole` where a unit has one value per context; else None.
        top_per_context: Number of activations that were kept of each context and layer, the strongest; None with a threshold.
        sampled: The contexts were chosen for their activations, so that numbers of tokens are no denominators.
        vector_layers: Layers of dense vectors.
    """

    model: str | None
    revision: str | None = None
    hook: str = MLP
    unit_type: str = "neuron"
    value_kind: str | None = "activation"
    dictionary: str | None = None
    window: int | None = None
    skips_first: bool = False
    skipped_tokens: tuple[int, ...] = ()
    dtype: str | None = None
    positions: str | None = None
    top_per_context: int | None = None
    sampled: bool = False
    vector_layers: tuple[int, ...] = ()

    @property
    def is_counted(self) -> bool:
        """True where a unit is known to be silent on all tokens without an activation, so that shares of tokens can be computed."""
        return not self.sampled and self.top_per_context is None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> ActivationSpace:
        """Return the identity that a manifest states.

        Args:
            facts: Values by name; unknown names are ignored.

        Returns:
            The identity.
        """
        known = {item.name for item in fields(cls)}
        given = {name: value for name, value in facts.items() if name in known}
        for name in ("skipped_tokens", "vector_layers"):
            given[name] = tuple(given.get(name) or ())
        return cls(**given)

    def as_dict(self) -> dict[str, Any]:
        """Return the identity as a manifest states it.

        Returns:
            Values by name, as JSON holds them.
        """
        return asdict(self) | {name: list(getattr(self, name)) for name in ("skipped_tokens", "vector_layers")}

    def require(self, other: ActivationSpace, where: object) -> None:
        """Check that another identity is the same.

        Args:
            other: Identity of another store.
            where: Place of that store, for the message.

        Raises:
            SpaceMismatch: They differ; the message states the first difference.
        """
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if mine != theirs:
                raise SpaceMismatch(
                    f"two stores of activations do not mix: {item.name} is {theirs!r} in {where} and {mine!r} here; "
                    "choose another -o, or start over with --fresh"
                )
