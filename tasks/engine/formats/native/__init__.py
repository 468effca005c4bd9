"""The compiled part of the engine, in C: `csv` (bytes to texts), `values` and `rows` (texts to rows of a binary COPY).

`native.h` says what each function does, `binding` calls them, `build` compiles them.
"""
