"""Choose a host: pure."""
