"""Placement: hosts as providers of resources, and what servers take of them."""
