"""The pictures: what is in them, how they are drawn, and the PNG of them."""
