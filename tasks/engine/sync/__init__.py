"""Syncs: an operational database is copied as it changes."""
