"""The sections of params.yaml as frozen models, one docstring and one range per value."""
