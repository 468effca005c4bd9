"""The native code, in C: `csv` splits bytes into strings; `values` and `rows` encode strings as rows of a binary COPY.

`native.h` documents the functions, `binding` calls them, and `build` compiles them.
"""
