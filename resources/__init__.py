"""Data shipped with the product: policy, prompts, rehearsal scripts, a sample repository."""
