"""Kiln measured beside Nix, in one run: `python -m bench` (see `__main__`).

    inputs   what is measured: programs, graphs, files, in both languages
    peers    how a peer is asked: its commands, in a store of its own
    timing   one process from start to exit
    results  medians, noise, ratios, the table, the saved file
    groups   eval, graph, build, store, cache, scale
    plot     what an object costs while the store grows, as SVG beside the saved file
    drivers  small programs for what Kiln has no command for

The rules, which make figures from a shared machine mean something:

- Whole processes, from start to exit. Where a start is subtracted, the row says so.
- Peers take turns, run by run (A B A B); a ratio divides medians of one such row.
- Every cold run has a store of its own, empty before it. The page cache is warm.
- Written pages are flushed before each run, outside the measured time.
- What is thrown away is renamed, and deleted at the end: files are slow to make after many were deleted.
- A run waits for a quiet moment, records how busy others were, and a row that had too few quiet runs is marked `~`.
- A ✔ or ✘ stands behind each goal: a ratio in the peer's row; seconds, MiB or a note in Kiln's.
- Each peer as it comes: its sandbox, its durability, and (for Kiln) its signatures are on.
"""
