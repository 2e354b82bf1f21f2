from serving.chromium import chromium

__all__ = ["chromium"]
