"""The pipeline, one module per gate; ``gate.py`` is the one mechanism around every gate."""
