"""Benchmarks: Tally and its alternatives do the same work in turns. `make bench` runs them."""
