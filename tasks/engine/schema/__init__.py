"""Schemas: create, compare, change, migrate and reset tables."""
