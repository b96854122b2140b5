"""Keys, signatures and signed statements: what was built from what, by whom. Nothing here knows a derivation.

    keys, keyfile, trust        whose word it is, and whose counts
    plainjson, fields, dsse     bytes that are signed, and how they are read
    statement                   in-toto: what is said of which artifacts
    facts, slsa, slsa_read      builds and fetches (slsa_v02 for older consumers)
    resolution, verdict         the two other kinds of statement
    verify, closure             the rules, for one envelope and for all that it names

A builder signs, anyone verifies:

    ring = open_keys(path)
    envelope = sign_statement(build_statement(facts), ring.signer())
    policy = load_policy(trusted_keys_path, own=ring.public_keys)
    verified = verify_envelope(envelope, policy)

docs/spec/provenance.md is normative.
"""
