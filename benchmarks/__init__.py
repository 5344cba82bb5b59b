"""Benchmarks of the provider's promises. Figures are printed as tables; run them with ``make bench``."""
