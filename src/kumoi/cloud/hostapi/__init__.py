"""The contract between control plane and host."""
