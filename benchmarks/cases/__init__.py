"""The cases, by pipeline: each module has `CASES`. The first word of its name is the pipeline that it needs."""
