"""Rows, leases, loops and flows: knows no nouns."""
