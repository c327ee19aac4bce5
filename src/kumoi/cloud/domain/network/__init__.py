"""Rules of the network."""
