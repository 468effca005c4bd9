"""Steps that only the pipeline `events` uses."""
