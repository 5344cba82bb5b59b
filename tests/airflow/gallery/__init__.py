"""The gallery in a real browser."""
