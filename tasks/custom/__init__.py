"""Functions of your own for models of the family `custom`: `mine:forecast` is in mine.py here."""
