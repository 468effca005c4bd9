"""The scaffold: a new pipeline from a sample file, `make new-pipeline NAME=... SAMPLE=...`."""
