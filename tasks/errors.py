"""The errors a person can cause: each message is one line with rule, value, place and remedy."""


class FewlayersError(Exception):
    """Base of every error that is the input's fault; entry points print it and exit with 1."""


class ParamsError(FewlayersError):
    """params.yaml breaks a rule, or names something that does not exist."""


class DataError(FewlayersError):
    """A data file cannot be accepted as it is."""


class CheckpointError(FewlayersError):
    """A model folder is missing, damaged, altered or does not fit its config."""


class ArtifactError(FewlayersError):
    """A file made by an earlier stage is missing or not of the expected form."""


class MaskError(FewlayersError):
    """A set of kept blocks that the model does not have."""


class ExportError(FewlayersError):
    """A model cannot be exported for serving, or what was exported forecasts something else."""
