"""What goes around other frameworks: one package each, loaded by name when it is first used, imported by nobody."""
