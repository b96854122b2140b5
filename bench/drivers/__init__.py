"""Small programs, run as processes of their own, for what Kiln has no command for, or what no command measures."""
