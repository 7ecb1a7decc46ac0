"""The modules that registered something: a plug-in file that registers nothing is a mistake."""

registered_by: set[str] = set()  # names of modules
