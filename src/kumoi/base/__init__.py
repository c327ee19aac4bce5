"""The small base: knows nothing of ours."""
