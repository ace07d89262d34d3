"""Energy and tokens by day: what each node and each model drew and made, and what that cost."""
