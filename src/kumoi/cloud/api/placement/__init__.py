"""The placement API, which shows and changes nothing."""
