"""The stages as dvc.yaml lists them: their graph, their code, and how to run them without DVC."""
