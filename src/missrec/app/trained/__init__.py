"""What works on a trained run: loading it, its data of today, exporting it, showing it."""
