"""What the provider promises, measured. Every figure is printed as a table; run them with ``make bench``."""
