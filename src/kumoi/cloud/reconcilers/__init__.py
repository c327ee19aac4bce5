"""Loops without an end."""
