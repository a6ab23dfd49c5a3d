"""The report of a benchmark run, computed from its records alone: one HTML file that opens offline, and Markdown."""

from .page import leaderboard_figure, leaderboard_markdown, write_report

__all__ = ["leaderboard_figure", "leaderboard_markdown", "write_report"]
