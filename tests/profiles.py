"""Set the number of examples that Hypothesis looks at: few in `make test`, many in `make test-slow`."""

from __future__ import annotations

import os

from hypothesis import settings

_THOROUGH = 5  # times as many

# A loaded machine is no failure, so no example has a deadline.
settings.register_profile("atlas", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=100 * _THOROUGH)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "atlas"))


def examples(few: int) -> settings:
    """Return a decorator for a test that is slow: `few` examples, or five times as many in the slow tests."""
    is_thorough = settings.get_current_profile_name() == "thorough"
    return settings(deadline=None, max_examples=few * (_THOROUGH if is_thorough else 1))
