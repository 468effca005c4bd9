"""Exports: tables become files in the lake, charts and pages."""
