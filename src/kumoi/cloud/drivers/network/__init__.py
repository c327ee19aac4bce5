"""Drivers of the network."""
