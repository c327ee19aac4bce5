"""A machine prepared to be a host."""
