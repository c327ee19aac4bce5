"""Who may do what: one table for both halves, a row a permission, with the names that OpenStack has."""
