"""Syncs: copy the changes of an operational database."""
