"""Loads: load objects into staging tables exactly once."""
