"""Image sets: the catalogue, their layouts, fetching, verifying, preparing. Imports formats and noise."""
