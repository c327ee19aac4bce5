"""Rows of compute."""
