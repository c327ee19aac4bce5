"""Drivers that run servers."""
