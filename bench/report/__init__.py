"""What readers see besides tables: figures, pages."""
