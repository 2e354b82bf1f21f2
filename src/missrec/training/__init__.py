"""The one LightningModule and its callbacks."""
