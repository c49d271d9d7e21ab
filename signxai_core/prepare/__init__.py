"""``signxai prepare``: recordings, images, trained networks, scripts and notebooks, written without a network."""

from signxai_core.prepare.work import Request, run

__all__ = ["Request", "run"]
