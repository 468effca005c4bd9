"""The native code, in C: `csv` splits bytes into strings; `values` and `rows` encode strings as rows of a binary COPY.

`native.h` documents the functions. `setup.py` compiles them into `library.abi3.so`, and `binding` calls them.
`sources` gives the digest that shows whether a library was compiled from the sources beside it.
"""
