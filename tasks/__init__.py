"""The stages of fewlayers and the libraries below them; free of Prefect and DVC."""
