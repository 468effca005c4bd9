"""The pipelines in words, one flow per file: what runs, in which order."""
