"""Prepares a machine to be a host: packages, images and their recipes, checks of the machine."""
