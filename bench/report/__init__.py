"""What readers see: tables, significance, figures, pages. Imports all floors below."""
