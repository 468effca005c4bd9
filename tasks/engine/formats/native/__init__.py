"""The native code, in C: the readers of CSV and JSON, and the encoder of rows for a binary COPY.

`native.h` and `json.h` document the functions. `setup.py` compiles them into `library.abi3.so`. `binding` calls them.
`sources` gives the digest that shows whether a library was compiled from the sources beside it.
"""
