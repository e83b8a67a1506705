"""Keyed tokens in place of values: AES-CMAC where nobody needs the value again, AES-SIV where the key holder does."""
