"""LXC system containers."""
