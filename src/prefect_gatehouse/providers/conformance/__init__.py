"""One suite that every provider's backends pass: an outsider proves a provider of their own with it, by command or in pytest.

``suite.py`` has the checks' names and runs them, ``counting.py`` and ``jobs.py`` hold them, ``bench.py`` is what they run on, and ``bounds.py``
says when counts are right.
"""
