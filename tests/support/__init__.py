"""What the tests of the whole pipeline share."""
