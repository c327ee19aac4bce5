"""A host machine's network: namespaces, links, the edge, address ranges."""
