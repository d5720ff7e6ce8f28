"""Which antibody language model answers my question best, and can I trust the number?"""

__version__ = "0.1.0"
