"""The lake: S3 objects are listed, read and written."""
