"""The pipeline's HTTP."""
