"""Loads: objects become rows of staging tables, exactly once."""
