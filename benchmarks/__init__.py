"""Benchmarks: loads compared with other tools, exports, start-up and syncs."""
