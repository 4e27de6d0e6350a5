"""Sessions, the clarification gate, plans and artifacts."""
