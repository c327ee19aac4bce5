"""The figures. `python -m bench` prints them in one table, for the cloud that is up."""
