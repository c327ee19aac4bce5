"""Kumoi: a private cloud a small team can run, and an environment for every git push."""

__version__ = "0.3.0"
