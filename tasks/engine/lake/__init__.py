"""The lake: lists, reads and writes S3 objects."""
