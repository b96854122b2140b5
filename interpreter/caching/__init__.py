"""What is kept between runs, by what was used: the layers between a build file and its answer.

    shelf     files under a folder: whole or absent, checked, bounded; `KILN_NO_CACHE=1` turns all of it off
    flat      trees of immutable data to bytes and back
    modules   a module's text and its imports' interfaces  ──►  what checking made of it
    code      Python that was generated                    ──►  CPython's code object

An entry is found by the digest of all that it was made from, Kiln's own code among it; failures are not kept.
Whatever can't be read is not there, and whatever can't be written is not kept: a cache changes how long a run takes.
The layer above these, from a question to its derivations, is `interpreter.answers`.
"""
