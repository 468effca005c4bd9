"""Backfills: find the due partitions of a pipeline, and the reasons."""
