"""The pipelines, one flow per file: the steps that run, and their order."""
