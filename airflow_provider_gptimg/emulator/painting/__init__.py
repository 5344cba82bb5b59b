"""The pictures: their content, how they are drawn, and their PNG."""
