"""The binary cache: what was built, shared as plain signed files in any place that holds files."""
