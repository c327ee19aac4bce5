"""Network namespaces, links, the edge and address ranges of a machine that is a host."""
