"""The command line `module-sdk`; the only part of the package that loads typer and rich."""
