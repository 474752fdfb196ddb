"""Published families of forecasting models, one file each, behind the model interface."""
