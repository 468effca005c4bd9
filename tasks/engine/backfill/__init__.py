"""Backfills: which partitions of a pipeline are due, and why."""
