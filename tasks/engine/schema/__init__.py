"""Schemas: tables are created, compared, changed, migrated and reset."""
