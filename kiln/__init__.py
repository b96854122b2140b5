"""Kiln: a typed build language, hermetic builds, and signed provenance that can reproduce them."""

__version__ = "0.1.0"
