"""Loading a model, unless it is one already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atlas.errors import needs_extra

if TYPE_CHECKING:
    from atlas.models import TracedModel


def load(model: str | TracedModel, *, name: str | None, device: str, dtype: str | None) -> TracedModel:
    """The model; raises as `atlas.trace.load_model` does."""
    with needs_extra("trace"):
        from atlas.models import load_model
    return load_model(model, name=name, device=device, dtype=dtype) if isinstance(model, str) else model
