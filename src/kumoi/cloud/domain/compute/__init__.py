"""Rules of compute."""
