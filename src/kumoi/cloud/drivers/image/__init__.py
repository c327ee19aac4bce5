"""Image files and what is in them."""
