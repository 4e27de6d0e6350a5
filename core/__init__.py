"""The core decides and remembers. It imports no client of anything outside the process."""
