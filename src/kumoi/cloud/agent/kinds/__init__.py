"""What a host does for each kind of thing: one file per kind."""
