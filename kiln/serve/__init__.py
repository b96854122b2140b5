"""`kiln cache serve`: a cache folder over HTTP, with uploads into quarantine. It never signs."""
