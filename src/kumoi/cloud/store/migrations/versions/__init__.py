"""One file each; never edited once released."""
