"""One self-contained page of tables, images, plots and records. Imports what `report` imports."""
