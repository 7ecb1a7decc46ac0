"""A user's own images: files of any type and number of axes, as frames and back. Imports formats, files and errors."""
