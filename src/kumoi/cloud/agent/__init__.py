"""The host's process."""
