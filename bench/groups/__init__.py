"""What is measured: each module is one group, a function `run(session)` that adds runs to its results."""
