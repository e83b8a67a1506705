"""The command line, on top of everything; each command is one module, loaded when it is called."""
