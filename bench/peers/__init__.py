"""Who is measured: each peer's commands, in a store of its own. The groups know nothing else of a peer."""
