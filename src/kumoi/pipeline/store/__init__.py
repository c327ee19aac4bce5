"""The pipeline's rows."""
