"""The graph of dvc.yaml without DVC: for a machine that has torch but neither DVC nor Prefect."""
