"""How a source becomes minimised rows in order: dealt out by hash, then ordered part by part; in one process or in many."""
