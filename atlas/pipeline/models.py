"""Loading of a model that is given by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atlas.errors import needs_extra

if TYPE_CHECKING:
    from atlas.models import TracedModel


def load(model: str | TracedModel, *, name: str | None, device: str, dtype: str | None) -> TracedModel:
    """Return the model, loaded if `model` is a folder or name. Raises as `atlas.models.load_model` does."""
    with needs_extra("trace"):
        from atlas.models import load_model
    return load_model(model, name=name, device=device, dtype=dtype) if isinstance(model, str) else model
