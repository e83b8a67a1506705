"""How people prove who they are: one file a method, each behind ``interface.SignIn``."""
