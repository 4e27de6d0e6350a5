"""Evidence, risk, forbidden paths, secrets, verdicts and the merge policy."""
