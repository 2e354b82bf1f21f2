"""Plots for the page, and figures for print."""
