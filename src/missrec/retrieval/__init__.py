"""From a trained model to recommendations: exact top-K, similar items, reasons, new items."""
