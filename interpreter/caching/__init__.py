"""What is kept between runs, by what was used: the layers between a build file and its answer.

    shelf     files under a folder: whole or absent, checked, bounded; `KILN_NO_CACHE=1` turns all of it off
    flat      trees of immutable data to bytes and back
    modules   a module's text and its imports' interfaces  ──►  what checking made of it
              declarations, meanings: the same by declaration, where the text has changed
    code      Python that was generated                    ──►  CPython's code object
    values    a let's code, and the lets that it read      ──►  what it came to (owners: the packages in it)
              closures: what a let's code is

An entry holds only for all that it was made from, Kiln's own code among it; failures are not kept.
Whatever can't be read is not there, and whatever can't be written is not kept: a cache changes how long a run takes.
The layer above these, from a question to its derivations, is `interpreter.answers`.
"""
