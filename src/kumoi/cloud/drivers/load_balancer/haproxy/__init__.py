"""HAProxy, for the listeners that only a process can serve."""
