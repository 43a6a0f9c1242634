"""Static pages for people: one look, charts as inline SVG, nothing loaded from anywhere, every value escaped."""
