"""Exports: write tables as files to the lake, and draw charts and pages."""
