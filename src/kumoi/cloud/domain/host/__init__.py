"""Hosts: what the control plane decides about them and tells them."""
