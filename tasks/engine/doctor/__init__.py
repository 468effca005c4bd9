"""Doctor: checks of an installation. Each check says what it found, what it expected, and what to do next."""
