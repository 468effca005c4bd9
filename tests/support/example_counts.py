"""How many examples the property tests draw."""

from hypothesis import settings

ALL = 100
"""`max_examples` of a profile that draws all examples, which is the default of Hypothesis."""


def examples(count: int) -> settings:
    """Return the settings of a property test that draws some examples.

    The profile `sanitizers` draws a fifth of them, because nearly all the time of an example passes in Python.
    """
    return settings(max_examples=max(1, count * settings.default.max_examples // ALL))
